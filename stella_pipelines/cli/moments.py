"""Points in time as people type them: an RFC 3339 time with its zone, or a date, which is its first moment in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Final

import typer

from stella_pipelines.core.clock import parse_instant
from stella_pipelines.core.errors import StellaError

EARLIEST_YEAR: Final = 1970
SinceOption = Annotated[str | None, typer.Option(metavar="TIME", help="Only what was sealed at this time (2026-07-01, 2026-07-01T09:00:00Z) or later.")]
UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Only what was sealed before this time.")]


class MomentUnreadable(StellaError):
    """A point in time was given in a form that is not read here."""

    code = "VAL_MOMENT"


def moment_of(text: str | None) -> datetime | None:
    """The moment that somebody typed; None for none."""
    if text is None:
        return None
    try:
        found = _date(text) or parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise _unreadable(text) from error
    if found.year < EARLIEST_YEAR:  # there is no evidence from before, and a year of three digits would not sort as text
        raise _unreadable(text)
    return found


def _unreadable(text: str) -> MomentUnreadable:
    next_step = "Write 2026-07-01T09:00:00Z, or 2026-07-01 for its midnight in UTC."
    return MomentUnreadable(f"{text[:80]!r} is no time since {EARLIEST_YEAR} with a zone, and no date.", next_step=next_step)


def _date(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
