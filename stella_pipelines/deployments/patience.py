"""Writing to a store that is busy or gone for a moment: a few tries with growing waits, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from stella_pipelines.deployments.limits import DATABASE_BACKOFF_MAX_S, DATABASE_BACKOFF_S, DATABASE_PATIENCE_S
from stella_pipelines.store.errors import DatabaseBusy, DatabaseUnreachable

T = TypeVar("T")


async def patiently(write: Callable[[], T]) -> T:
    """What `write` returns. It is one whole transaction that may be repeated. After `DATABASE_PATIENCE_S` the store's own error is raised."""
    now_s = asyncio.get_running_loop().time
    deadline_s, wait_s = now_s() + DATABASE_PATIENCE_S, DATABASE_BACKOFF_S
    while True:
        try:
            return write()
        except (DatabaseBusy, DatabaseUnreachable):
            if now_s() + wait_s > deadline_s:
                raise
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, DATABASE_BACKOFF_MAX_S)
