"""How each of the two databases is opened for the store, and who says BEGIN. How a PostgreSQL pool is made: `postgres.py`.

SQLite: Python's driver opens transactions on its own and late, so it is switched off (`isolation_level = None`) and SQLAlchemy's begin event
sends the BEGIN that the transaction asked for. A few connections stay open: whoever closes the last one of a database also moves its log into
it, which takes longer than most transactions. `Store` forgets them after a fork.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.settings import InvalidSetting
from stella_pipelines.store import limits
from stella_pipelines.store.postgres import postgres_engine, store_session

BEGIN_OPTION: Final = "stella_begin"
"""Execution option with the words that open an SQLite transaction."""


def create_engine(url: str) -> sa.Engine:
    """An engine for one of the two databases; any other URL is refused."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed)
    if parsed.get_backend_name() == "postgresql":
        return postgres_engine(parsed, "READ COMMITTED", store_session())
    raise InvalidSetting(f"{parsed.drivername!r} is not a database that the store can use.", next_step="Use sqlite:///path or postgresql+psycopg2://….")


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise InvalidSetting("An SQLite database in memory cannot be shared between processes.", next_step="Give a file: sqlite:////absolute/path/stella.db.")
    Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_to_others(url.database)
    engine = sa.create_engine(url, pool_size=limits.SQLITE_CONNECTIONS_KEPT, max_overflow=-1, connect_args={"timeout": limits.BUSY_TIMEOUT_S})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _close_to_others(path: str) -> None:
    """Make the files the owner's alone: a new one before SQLite makes it, an old one when it is opened. SQLite gives its log the database's mode.

    What this account may not change stays as it is, and what cannot be opened is for SQLite to say.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(OSError):
            if os.stat(name).st_mode & 0o077 and os.path.isfile(name):
                os.chmod(name, 0o600)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    try:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA recursive_triggers=ON")  # without it, INSERT OR REPLACE deletes an append-only row unseen
        connection.execute("PRAGMA synchronous=FULL")  # a sealed packet that was reported must survive a power cut
    except sqlite3.Error:
        connection.close()  # SQLAlchemy does not know this connection yet, and would leave it open
        raise


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN_OPTION, "BEGIN"))


def use_write_ahead_log(engine: sa.Engine) -> None:
    """Switch the file to WAL once. The switch ignores the busy timeout, so it is repeated here for as long as that would wait."""
    deadline = time.monotonic() + limits.BUSY_TIMEOUT_S
    while True:
        try:
            mode = _switch_to_wal(engine)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            break
    if mode != "wal":
        raise InvalidSetting(
            f"The file system of {engine.url.database} does not support SQLite's write-ahead log.", next_step="Put the database on a local disk."
        )


def _switch_to_wal(engine: sa.Engine) -> str:
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        (mode,) = cursor.fetchone() or ("",)
        cursor.close()
    finally:
        raw.close()
    return str(mode)
