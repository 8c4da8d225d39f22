"""Waiting for a database that is away. Only opening a connection is tried again: nothing was asked of the database yet, so nothing happens twice.

Not here: what to do about a connection that breaks in the middle of a transaction. That is for whoever knows what the transaction meant.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from stella_pipelines.store import limits
from stella_pipelines.store.refusals import refusal_in

log = logging.getLogger("stella.database")

T = TypeVar("T")


def is_away(error: sa.exc.DBAPIError) -> bool:
    """Whether a connection that could not be opened may be opened later: the server restarts, or has no connection free."""
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) and refusal_in(str(error.orig)) is None


def connect(engine: sa.Engine, patience_s: float | None = None) -> sa.Connection:
    """A connection that was just seen to work. Waits up to `patience_s` for a server that is away; the last error is raised as it is."""
    patience_s = limits.OUTAGE_PATIENCE_S if patience_s is None else patience_s
    return patiently(engine.connect, patience_s, time.monotonic, time.sleep)


def patiently(open_one: Callable[[], T], patience_s: float, now: Callable[[], float], wait: Callable[[float], None]) -> T:
    """Try until it opens, is refused for good, or patience ends. Pure but for its arguments."""
    began, said = now(), False
    while True:
        try:
            return open_one()
        except sa.exc.DBAPIError as error:
            if not is_away(error) or now() - began >= patience_s:
                raise
            if not said:
                log.warning("the database is away, waiting up to %.0f s for it: %s", patience_s, (str(error.orig).splitlines() or [""])[0])
                said = True
        wait(limits.OUTAGE_POLL_S)
