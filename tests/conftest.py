"""Fixtures that every test may use. Those of one room live in `tests/support/` beside the code that they need; import them from there.

`store` runs a test once per database (SQLite and PostgreSQL), each time on a fresh, migrated one. `database_url` is the same without the
open `Store`, for tests that open it themselves, twice, or from several processes. See `tests/support/databases.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from stella_pipelines.store.database import Store
from tests.support.databases import Databases, selected_kinds
from tests.support.postgres import PostgresCluster, fast_folder, start_or_skip

WATCHED: Final = (
    "test_dagster_jobs.py",
    "test_dagster_submission.py",
    "test_deployments_disturbed.py",
    "test_deployments_looks.py",
    "test_deployments_service.py",
    "test_deployments_standing.py",
    "test_deployments_way_back.py",
    "test_promotions_service.py",
    "test_release_service.py",
)
"""Files of tests of which every write is watched, whatever they try: it must have its audit entry."""
_MARKS = {"sqlite": (), "postgres": (pytest.mark.postgres,)}


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Where fresh databases come from; PostgreSQL starts when the first test wants one."""
    with tempfile.TemporaryDirectory(prefix="stella-databases-", dir=fast_folder()) as folder:
        made = Databases(Path(folder))
        yield made
        made.close()


@pytest.fixture(params=[pytest.param(kind, marks=_MARKS[kind]) for kind in selected_kinds()])
def database_kind(request: pytest.FixtureRequest) -> str:
    """`sqlite` or `postgres`."""
    return str(request.param)


@pytest.fixture
def database_url(databases: Databases, database_kind: str) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    with databases.fresh(database_kind) as url:
        yield url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store on a fresh, migrated database."""
    opened = Store.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def cluster() -> Iterator[PostgresCluster]:
    """A PostgreSQL server of the test's own, to be crashed, frozen, or asked for passwords."""
    started = start_or_skip()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def every_write_is_entered(request: pytest.FixtureRequest) -> Iterator[None]:
    """In the watched files, a test fails when a write in it has no audit entry, or one that is not true."""
    if request.path.name not in WATCHED:
        yield
        return
    from tests.support.watched_store import watching

    with watching() as watch:
        yield
    assert watch.problems == []
