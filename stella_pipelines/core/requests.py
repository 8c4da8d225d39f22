"""What the present work is part of: one command, one run, one tick of a sensor, one call. Its id stands in every audit entry that is written meanwhile.

A context variable and no parameter, because the id says nothing to any rule between the edge, where it is made, and the audit entry, where it
is written: dozens of functions would only hand it on. Tasks of one event loop inherit it; a thread of its own does not, and says it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from stella_pipelines.core.identifiers import SystemIdentifiers

_CURRENT: Final[ContextVar[str | None]] = ContextVar("stella_request", default=None)


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Do the block as part of this request; after it, what was before."""
    outer = _CURRENT.get()
    _CURRENT.set(request_id)
    try:
        yield
    finally:
        _CURRENT.set(outer)  # no reset by token: Dagster may close a resource in another context than the one that opened it


def new_request() -> str:
    """An id for a request that has none of its own. A run of Dagster has one: its run id."""
    return SystemIdentifiers().new("req", datetime.now(UTC))


def current_request() -> str | None:
    """The request that the present work is part of; None outside of any."""
    return _CURRENT.get()
