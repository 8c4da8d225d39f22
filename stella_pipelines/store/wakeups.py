"""Waiting for something to do, without asking the database all the time: a hint that somebody has just written.

PostgreSQL says it (`LISTEN`); SQLite's files change. A hint may come for nothing, and may be missed: whoever waits looks again after
its own longest pause in any case.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import Any, Final, Protocol

import sqlalchemy as sa

from stella_pipelines.store.outbox import WANTED_CHANNEL
from stella_pipelines.store.postgres import connect_arguments

FILE_POLL_S: Final = 0.1
"""How often SQLite's files are looked at: two system calls."""


class Wakeups(Protocol):
    """Something that may wake up who waits."""

    def wait(self, longest_s: float) -> None:
        """Return when something was written, or after the longest pause."""

    def close(self) -> None:
        """Give back what is open."""


def wakeups(url: str, stopping: threading.Event) -> Wakeups:
    """The wake-ups of this database; waiting also ends when `stopping` is set."""
    parsed = sa.make_url(url)
    return FileWakeups(str(parsed.database), stopping) if parsed.get_backend_name() == "sqlite" else ListeningWakeups(parsed, stopping)


class FileWakeups:
    """SQLite: the database or its write-ahead log has changed. The log goes into the database when the last connection is closed."""

    def __init__(self, path: str, stopping: threading.Event) -> None:
        self._paths = (path, f"{path}-wal")
        self._stopping = stopping
        self._seen = self._look()

    def wait(self, longest_s: float) -> None:
        """Look at the files until they are others than at the end of the wait before."""
        deadline = time.monotonic() + longest_s
        while time.monotonic() < deadline and not self._stopping.wait(FILE_POLL_S):
            found = self._look()
            if found != self._seen:
                self._seen = found
                return

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(path) for path in self._paths]

    def close(self) -> None:
        """Nothing is open."""


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class ListeningWakeups:
    """PostgreSQL: a connection of its own that listens for rows of the outbox. While the server is away, only the longest pause is left."""

    def __init__(self, url: sa.URL, stopping: threading.Event) -> None:
        arguments = connect_arguments(url, {}, application="stella-wakeups")
        self._engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments)
        self._stopping = stopping
        self._listening: sa.Connection | None = None

    def wait(self, longest_s: float) -> None:
        try:
            self._wait(self._connection(), longest_s)
        except (sa.exc.SQLAlchemyError, self._driver_error):
            self.close()
            self._stopping.wait(longest_s)

    def _wait(self, driver: Any, longest_s: float) -> None:
        readable, _, _ = select.select([driver], [], [], longest_s)
        if readable:
            driver.poll()
            driver.notifies.clear()

    def _connection(self) -> Any:
        """The driver's connection, listening."""
        if self._listening is None:
            self._listening = self._engine.connect()
            self._listening.exec_driver_sql(f"LISTEN {WANTED_CHANNEL}")
        return self._listening.connection.driver_connection

    @property
    def _driver_error(self) -> type[Exception]:
        error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        return error

    def close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.invalidate()
            listening.close()
