"""The files of an SQLite store are the owner's alone, however open the folder is and whatever the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.store.database import Store


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.usefixtures("umask")
def test_a_new_database_is_closed_to_others_from_its_first_moment(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = Store.open(f"sqlite:///{tmp_path}/stella.db")
    with store.writing() as tx:
        tx.connection.execute(sa.text("CREATE TABLE t (x)"))
        while_open = modes(tmp_path)
    assert while_open == dict.fromkeys(("stella.db", "stella.db-wal", "stella.db-shm"), 0o600)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    store.close()


@pytest.mark.usefixtures("umask")
def test_a_database_that_was_open_to_others_is_closed_when_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "stella.db"
    Store.open(f"sqlite:///{path}").close()
    path.chmod(0o644)
    held = Store.open(f"sqlite:///{path}", migrate=False)
    with held.reading() as tx:
        tx.connection.execute(sa.text("SELECT 1 FROM sqlite_master")).all()
        for left in tmp_path.glob("stella.db-*"):
            left.chmod(0o644)
        Store.open(f"sqlite:///{path}", migrate=False).close()
        assert set(modes(tmp_path).values()) == {0o600}
    held.close()


def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may use it, and does not own it, cannot change its mode; that is no reason not to use it."""
    path = tmp_path / "stella.db"
    Store.open(f"sqlite:///{path}").close()
    path.chmod(0o660)

    def refuse(path: object, mode: int) -> None:
        raise PermissionError(f"{path}: {mode}")

    monkeypatch.setattr(os, "chmod", refuse)
    Store.open(f"sqlite:///{path}").close()
    assert modes(tmp_path)["stella.db"] == 0o660
