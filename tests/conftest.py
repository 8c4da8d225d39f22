"""Fixtures that every test may use. Those of one room live in `tests/support/` beside the code that they need; import them from there.

`store` runs a test once per database (SQLite and PostgreSQL), each time on a fresh, migrated one. `database_url` is the same without the
open `Store`, for tests that open it themselves, twice, or from several processes. See `tests/support/databases.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stella_pipelines.store.database import Store
from tests.support.databases import Databases, selected_kinds
from tests.support.postgres import PostgresCluster, fast_folder, start_or_skip

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
