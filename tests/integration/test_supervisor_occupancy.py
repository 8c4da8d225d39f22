"""One installation at a time on a PostgreSQL database: the second is refused, a dead one is succeeded, and one that was succeeded stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.settings import Settings
from stella_pipelines.store import leases
from stella_pipelines.store.database import Store
from stella_pipelines.store.tables import leases as lease_rows
from stella_pipelines.supervisor import occupancy
from stella_pipelines.supervisor.errors import AlreadyUp
from stella_pipelines.supervisor.occupancy import LEASE, Occupancy, occupied
from tests.support.databases import Databases

pytestmark = pytest.mark.postgres
LONG_S = 30.0


@pytest.fixture
def url(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(occupancy, "RENEW_S", 0.05)
    monkeypatch.setattr(occupancy, "RETRY_S", 0.2)
    with databases.fresh("postgres", with_dagster=True) as found:
        yield found


@contextmanager
def up(url: str, home: Path, stopping: threading.Event | None = None) -> Iterator[Occupancy]:
    home.mkdir(exist_ok=True)
    with occupied(Settings(home=home, database_url=url), stopping or threading.Event()) as held:
        assert held is not None
        yield held


def holder(url: str) -> str | None:
    store = Store.open(url)
    with store.reading() as tx:
        found = leases.holder(tx, LEASE, datetime.now(UTC))
    store.close()
    return found


def rewrite(url: str, **columns: object) -> None:
    store = Store.open(url)
    with store.writing() as tx:
        tx.connection.execute(sa.update(lease_rows).where(lease_rows.c.name == LEASE).values(**columns))
    store.close()


def test_a_second_one_is_refused_while_the_first_one_runs_and_comes_up_after_it(url: str, tmp_path: Path) -> None:
    with up(url, tmp_path / "first") as first:
        assert str(tmp_path / "first") in (holder(url) or "")
        with pytest.raises(AlreadyUp, match=str(tmp_path / "first")), up(url, tmp_path / "second"):
            pytest.fail("both came up")
        first.check()
    assert holder(url) is None
    with up(url, tmp_path / "second"):
        assert str(tmp_path / "second") in (holder(url) or "")


def test_one_that_died_is_succeeded_when_its_right_has_ended(url: str, tmp_path: Path) -> None:
    with up(url, tmp_path / "first"):
        pass
    soon = datetime.now(UTC) + timedelta(seconds=1)
    rewrite(url, holder="a machine that burnt down", expires_at=format_instant(soon))
    with up(url, tmp_path / "second"):
        assert datetime.now(UTC) >= soon


def test_the_same_home_comes_back_at_once_after_a_crash(url: str, tmp_path: Path) -> None:
    with up(url, tmp_path / "first"):
        crashed = holder(url)
    rewrite(url, holder=crashed, expires_at=format_instant(datetime.now(UTC) + timedelta(seconds=LONG_S)))
    with up(url, tmp_path / "first"):
        assert holder(url) == crashed


def test_two_homes_of_the_same_name_are_told_apart(url: str, tmp_path: Path) -> None:
    """As in two containers: the host's name and the path are the same."""
    with up(url, tmp_path / "home"):
        (tmp_path / "home").rename(tmp_path / "the first machine's home")
        with pytest.raises(AlreadyUp), up(url, tmp_path / "home"):
            pytest.fail("both came up")


def test_one_that_was_succeeded_stops_and_says_why(url: str, tmp_path: Path) -> None:
    stopping = threading.Event()
    with up(url, tmp_path / "first", stopping) as first:
        rewrite(url, holder="another machine", token=99)
        assert stopping.wait(LONG_S)
        with pytest.raises(AlreadyUp, match="another machine"):
            first.check()
    assert holder(url) == "another machine", "its right was not given back by the wrong one"


def test_sqlite_belongs_to_one_home_already(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'stella.db'}")
    with occupied(settings, threading.Event()) as held:
        assert held is None
    assert not (tmp_path / "installation.id").exists()


def test_of_two_that_come_at_the_same_moment_to_an_empty_database_one_runs(databases: Databases, url: str, tmp_path: Path) -> None:
    del url  # only its quicker renewal is wanted
    start, both_know = threading.Barrier(2), threading.Barrier(2)

    def come_up(name: str) -> str:
        start.wait()
        try:
            with up(empty, tmp_path / name):
                both_know.wait(LONG_S)
                return "runs"
        except AlreadyUp:
            both_know.wait(LONG_S)
            return "refused"

    with databases.fresh("postgres", migrated=False) as empty, ThreadPoolExecutor() as pool:
        assert sorted(pool.map(come_up, ("first", "second"))) == ["refused", "runs"]
        engine = sa.create_engine(empty, poolclass=sa.pool.NullPool)
        assert {"public", "dagster"} <= set(sa.inspect(engine).get_schema_names())
