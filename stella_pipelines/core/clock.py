"""Time, always UTC and always an argument of the rules. `Instant` is the only form in which a time is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import AfterValidator, PlainSerializer


def as_utc(moment: datetime) -> datetime:
    """`moment` in UTC. A time without a zone is refused: guessing a zone has moved too many maintenance windows."""
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone, such as 2026-01-31T09:00:00Z")
    return moment.astimezone(UTC)


def format_instant(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds and `Z`: fixed width, so that text order is time order."""
    return as_utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_instant(text: str) -> datetime:
    """The inverse of `format_instant`; any RFC 3339 time with a zone is read."""
    return as_utc(datetime.fromisoformat(text))


Instant = Annotated[datetime, AfterValidator(as_utc), PlainSerializer(format_instant, return_type=str, when_used="json")]


class Clock(Protocol):
    """Where a service gets the time that it passes to the rules."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)
