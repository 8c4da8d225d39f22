"""An installation of its own with the shop's estate and no targets, once wholly on SQLite and once wholly on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE
from tests.support.databases import Databases
from tests.support.installation import SmallInstallation, fast_home, shop_estate, small_installation


@pytest.fixture
def installation_url(database_kind: str, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str | None]:
    """The database of an installation, also in the environment; None is SQLite in its home."""
    if database_kind == "sqlite":
        monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
        yield None
        return
    with databases.fresh(database_kind, with_dagster=True) as url:
        monkeypatch.setenv(DATABASE_VARIABLE, url)
        yield url


@pytest.fixture
def stella(installation_url: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallInstallation]:
    """The one that the environment names."""
    with fast_home() as home, small_installation(home, database_url=installation_url) as installation:
        monkeypatch.setenv(HOME_VARIABLE, str(home))
        installation.apply(shop_estate())
        yield installation
