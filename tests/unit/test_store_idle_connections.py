"""Connections that nobody uses are closed, and nobody who uses the store notices."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from stella_pipelines.store import limits
from stella_pipelines.store.database import Store
from tests.support.databases import Databases

pytestmark = pytest.mark.postgres
WAIT_S = 10.0


@pytest.fixture
def url(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(limits, "IDLE_CONNECTION_S", 0.2)
    with databases.fresh("postgres") as found:
        yield found


def sessions(url: str) -> int:
    """How many connections this database has besides the one that asks."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return int(connection.execute(sa.text(asked)).scalar_one())


def wait_for(url: str, wanted: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while sessions(url) != wanted:
        assert time.monotonic() < deadline, f"there are still {sessions(url)} connections"
        time.sleep(0.05)


def test_a_store_that_nobody_uses_holds_no_connection(url: str) -> None:
    store = Store.open(url)
    with store.reading() as tx:
        assert tx.connection.execute(sa.text("SELECT 1")).scalar() == 1
        assert sessions(url) >= 1
    wait_for(url, 0)
    with store.writing() as tx:
        assert tx.connection.execute(sa.text("SELECT 2")).scalar() == 2
    wait_for(url, 0)
    store.close()


def test_a_transaction_that_takes_longer_than_the_limit_is_not_disturbed(url: str) -> None:
    store = Store.open(url)
    with store.writing() as slow:
        slow.connection.execute(sa.text("SELECT 1"))
        for _ in range(3):  # others come and go meanwhile, and their ends would close what is idle
            with store.reading() as tx:
                tx.connection.execute(sa.text("SELECT pg_sleep(0.15)"))
        assert slow.connection.execute(sa.text("SELECT 3")).scalar() == 3
    wait_for(url, 0)
    store.close()
