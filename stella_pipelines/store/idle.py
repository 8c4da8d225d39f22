"""Closes the connections of a pool that nobody has used for a while, so that a process which waits costs the server nothing.

A pool keeps its connections for ever otherwise, and fifty waiting runs would fill PostgreSQL's default limit of 100. The thread that watches
lives only while there is something to close.
"""

from __future__ import annotations

import os
import threading
import time

import sqlalchemy as sa


class IdleConnections:
    """Watches one engine. No lock, since a fork could copy a held one: at worst two threads watch, and the second closes nothing."""

    def __init__(self, engine: sa.Engine, idle_s: float) -> None:
        self._engine = engine
        self._idle_s = idle_s
        self._watching_process: int | None = None
        self._given_back_at = 0.0
        sa.event.listen(engine, "checkin", self._given_back)

    def _given_back(self, *_: object) -> None:
        self._given_back_at = time.monotonic()
        if self._watching_process != os.getpid():
            self._watching_process = os.getpid()
            threading.Thread(target=self._watch, name="idle-connections", daemon=True).start()

    def _watch(self) -> None:
        while (left_s := self._given_back_at + self._idle_s - time.monotonic()) > 0:
            time.sleep(left_s)
        self._watching_process = None
        # What is in use now comes back later, and begins another watch.
        if self._engine.pool.checkedout() == 0:  # type: ignore[attr-defined]  # both engines of ours have a QueuePool
            self._engine.dispose()
