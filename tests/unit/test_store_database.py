"""The store: transactions, what each database refuses, and the errors that come out."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.core.settings import InvalidSetting
from stella_pipelines.store import limits
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import Conflict, DatabaseBusy, DatabaseDamaged, DatabaseUnreachable
from stella_pipelines.store.tables import leases
from tests.support.databases import Databases

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def add(tx: Transaction, name: str) -> None:
    tx.connection.execute(sa.insert(leases).values(name=name, token=1, expires_at="2026"))


def add_all(store: Store, *wanted: str) -> None:
    with store.writing() as tx:
        for name in wanted:
            add(tx, name)


def end_the_session(databases: Databases, tx: Transaction) -> None:
    pid = tx.connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
    databases.cluster.administer(f"SELECT pg_terminate_backend({pid})")


def names(tx: Transaction) -> list[str]:
    return list(tx.connection.execute(sa.select(leases.c.name).order_by(leases.c.name)).scalars())


def test_a_block_that_ends_well_is_committed(store: Store) -> None:
    with store.writing() as tx:
        add(tx, "a")
    with store.reading() as tx:
        assert names(tx) == ["a"]


def test_a_block_that_raises_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.writing() as tx:
            add(tx, "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.reading() as tx:
        assert names(tx) == []


def test_a_reading_block_cannot_write(store: Store) -> None:
    with pytest.raises((DatabaseUnreachable, sa.exc.InternalError), match=r"readonly|read-only"), store.reading() as tx:
        add(tx, "a")
    with store.reading() as tx:
        assert names(tx) == []


def test_a_reading_block_sees_one_moment(store: Store) -> None:
    with store.reading() as view:
        assert names(view) == []
        with store.writing() as tx:
            add(tx, "a")
        assert names(view) == []
    with store.reading() as tx:
        assert names(tx) == ["a"]


def test_a_writing_block_inside_another_is_a_mistake(store: Store) -> None:
    with store.writing() as tx:
        with pytest.raises(RuntimeError, match="pass the open transaction on"), store.writing():
            pass
        add(tx, "a")
    with store.writing() as tx:
        assert names(tx) == ["a"]


def test_a_key_that_is_taken_is_a_conflict(store: Store) -> None:
    add_all(store, "a")
    with pytest.raises(Conflict):
        add_all(store, "b", "a")
    with store.reading() as tx:
        assert names(tx) == ["a"]


def test_a_mistake_in_a_query_surfaces_as_it_is(store: Store) -> None:
    with pytest.raises(sa.exc.DBAPIError), store.reading() as tx:
        tx.connection.execute(sa.text("SELECT nothing FROM nowhere"))


def test_a_writer_that_waits_too_long_is_told_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUSY_TIMEOUT_S", 0.2)
    first, second = Store.open(database_url), Store.open(database_url)
    with first.writing() as tx:
        add(tx, "a")
    with first.writing() as tx:
        tx.connection.execute(sa.update(leases).values(holder="first"))
        with pytest.raises(DatabaseBusy) as caught, second.writing() as late:
            late.connection.execute(sa.update(leases).values(holder="second"))
    assert caught.value.retryable
    with second.writing() as tx:
        assert tx.connection.execute(sa.select(leases.c.holder)).scalar() == "first"
    first.close()
    second.close()


def test_threads_share_a_store_without_losing_writes(store: Store) -> None:
    with store.writing() as tx:
        add(tx, "a")

    def count_up() -> None:
        for _ in range(10):
            with store.writing() as tx:
                tx.connection.execute(sa.update(leases).values(token=leases.c.token + 1))

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as tx:
        assert tx.connection.execute(sa.select(leases.c.token)).scalar() == 41


def test_a_store_survives_a_fork(store: Store) -> None:
    with store.writing() as tx:
        add(tx, "parent")
    child = os.fork()
    if child == 0:  # the child must not return into pytest, whatever happens
        code = 1
        try:
            with store.writing() as tx:
                add(tx, "child")
            store.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with store.writing() as tx:
        add(tx, "parent again")
        assert names(tx) == ["child", "parent", "parent again"]


@pytest.mark.postgres
def test_a_broken_connection_is_reported_and_replaced(databases: Databases) -> None:
    def lose_the_connection(store: Store) -> None:
        with store.writing() as tx:
            add(tx, "a")
            end_the_session(databases, tx)
            add(tx, "b")

    with databases.fresh("postgres") as url:
        store = Store.open(url)
        with pytest.raises(DatabaseUnreachable, match=r"Nothing was changed") as caught:
            lose_the_connection(store)
        assert caught.value.retryable
        with store.writing() as tx:
            assert names(tx) == []
        store.close()


@pytest.mark.postgres
def test_a_connection_that_breaks_at_the_commit_leaves_the_outcome_open(databases: Databases) -> None:
    def lose_the_connection(store: Store) -> None:
        with store.writing() as tx:
            add(tx, "a")
            end_the_session(databases, tx)

    with databases.fresh("postgres") as url:
        store = Store.open(url)
        with pytest.raises(DatabaseUnreachable, match="unknown whether"):
            lose_the_connection(store)
        store.close()


def test_a_server_that_is_not_there_is_unreachable_and_the_password_stays_out(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        Store.open(f"postgresql+psycopg2://stella:hunter2@/stella?host={tmp_path}")
    assert "hunter2" not in str(caught.value)
    assert caught.value.retryable


def test_a_folder_in_the_files_place_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database " * 500)
    with pytest.raises(DatabaseDamaged):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == b"not a database " * 500


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://root@localhost/stella"])
def test_a_database_that_cannot_be_shared_is_refused(url: str) -> None:
    with pytest.raises(InvalidSetting):
        Store.open(url)


def test_sqlite_keeps_a_write_ahead_log_and_foreign_keys(databases: Databases) -> None:
    with databases.fresh("sqlite") as url:
        store = Store.open(url)
        with store.reading() as tx:
            assert tx.connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert tx.connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        store.close()
