"""The database as the rest of the house sees it: `Store` opens it, a `Transaction` is one unit of work.

A transaction commits when its block ends well and rolls back when it does not. Library errors leave here as ours: busy, unreachable, conflict.
Not here: tables, queries, retries. Whoever calls decides whether a retryable error is worth another try.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.store import limits
from stella_pipelines.store.engines import BEGIN_OPTION, create_engine, use_write_ahead_log
from stella_pipelines.store.errors import translated
from stella_pipelines.store.migration import ensure_schema
from stella_pipelines.store.outage import connect

_WRITING: Final[Mapping[str, Mapping[str, Any]]] = {"sqlite": {BEGIN_OPTION: "BEGIN IMMEDIATE"}, "postgresql": {}}
# A reading transaction is one consistent snapshot on both databases, and neither lets it write.
_READING: Final[Mapping[str, Mapping[str, Any]]] = {
    "sqlite": {BEGIN_OPTION: "BEGIN DEFERRED"},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


@dataclass(frozen=True, slots=True)
class Transaction:
    """One open transaction. It ends with the `writing()` or `reading()` block that gave it."""

    connection: sa.Connection
    read_only: bool = False


class Store:
    """One database. Safe to share between threads, and to carry across a fork (the child opens its own connections)."""

    def __init__(self, url: str, engine: sa.Engine, patience_s: float) -> None:
        self.url = url
        self._engine = engine
        self._patience_s = patience_s
        self._process_id = os.getpid()
        self._thread = threading.local()

    @classmethod
    def open(cls, url: str, *, migrate: bool = True, patience_s: float = limits.OUTAGE_PATIENCE_S) -> Store:
        """Open `sqlite:///path` or `postgresql+psycopg2://…` and bring its schema to this version under a lock.

        A PostgreSQL server that is away now is an error at once; one that goes away later is waited for, `patience_s` per transaction.
        """
        engine = create_engine(url)
        store = cls(url, engine, patience_s if engine.dialect.name == "postgresql" else 0.0)
        try:
            with store._errors_translated([False]):
                if engine.dialect.name == "sqlite":
                    use_write_ahead_log(engine)
                ensure_schema(engine, migrate=migrate, where=store.where)
        except BaseException:
            engine.dispose()
            raise
        return store

    @property
    def where(self) -> str:
        """The database's address without its password, for messages."""
        return self._engine.url.render_as_string(hide_password=True)

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction that may change things: commits when the block ends, rolls back when it raises."""
        if getattr(self._thread, "writing", False):
            # On SQLite the inner one would wait for the outer one until the busy timeout.
            raise RuntimeError("writing() inside writing() on one thread: pass the open transaction on instead")
        self._thread.writing = True
        try:
            with self._transaction(read_only=False) as transaction:
                yield transaction
        finally:
            self._thread.writing = False

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A consistent, read-only view of the database as of its first query."""
        with self._transaction(read_only=True) as transaction:
            yield transaction

    def close(self) -> None:
        """Close every idle connection. The store may be used again; it then opens new ones."""
        self._engine.dispose(close=self._process_id == os.getpid())

    @contextmanager
    def _transaction(self, *, read_only: bool) -> Iterator[Transaction]:
        self._leave_inherited_connections()
        options = (_READING if read_only else _WRITING)[self._engine.dialect.name]
        committing = [False]
        with self._errors_translated(committing), connect(self._engine, self._patience_s) as plain:
            connection = plain.execution_options(**options)
            if self._engine.dialect.name == "sqlite":
                _forbid_writes(connection, read_only)
            with connection.begin():
                yield Transaction(connection, read_only)
                committing[0] = not read_only

    @contextmanager
    def _errors_translated(self, committing: list[bool]) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:  # the second: before SQLAlchemy has seen the connection
            ours = translated(error, self.where, committing=committing[0])
            if ours is None:
                raise
            raise ours from error

    def _leave_inherited_connections(self) -> None:
        """After a fork the pool's sockets belong to the parent: forget them without closing, and open new ones."""
        if self._process_id != os.getpid():
            self._engine.dispose(close=False)
            self._process_id = os.getpid()


def _forbid_writes(connection: sa.Connection, read_only: bool) -> None:
    """Said for every transaction, because the connection may have served another one before."""
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    cursor.close()
