"""Opening an installation: whoever only works with one leaves no key behind until something is sealed or verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from stella_pipelines.control_plane import NoInstallation, open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.store.database import Store


def test_the_key_of_an_empty_home_is_made_when_it_is_needed(tmp_path: Path) -> None:
    url, home = f"sqlite:///{tmp_path / 'elsewhere.db'}", tmp_path / "home"
    Store.open(url).close()
    with open_control_plane(Settings(home=home, database_url=url), create=False) as plane:
        assert plane.environments.current()[1] == 0
        assert not home.exists()
        pem = plane.evidence.public_pem
        assert plane.evidence.public_pem == pem
    assert (home / "keys" / "evidence.pub").read_bytes() == pem
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("empty", [False, True])
def test_a_database_that_is_not_there_or_empty_is_left_so(tmp_path: Path, empty: bool) -> None:
    database = tmp_path / "elsewhere.db"
    if empty:
        database.touch()
    with pytest.raises(NoInstallation, match=r"STELLA_DATABASE_URL names has no tables"):
        open_control_plane(Settings(home=tmp_path / "home", database_url=f"sqlite:///{database}"), create=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == (["elsewhere.db"] if empty else [])
    assert not empty or database.stat().st_size == 0
