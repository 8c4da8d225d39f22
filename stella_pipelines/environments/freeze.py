"""Whether an environment is frozen now, why, until when, and when the next open slot begins. Pure: `now` is an argument.

Windows are half-open: closed at the first moment, open again at the last. Deny beats allow: one open window is enough. Windows that overlap or touch are
one closed time for the next open slot. The search for that slot is bounded; a freeze without an end in sight has no next slot, and says so with None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from stella_pipelines.core.clock import Instant, as_utc
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import FreezeWindow
from stella_pipelines.environments.recurrence import Recurrence

NEXT_OPEN_SEARCH_DAYS: Final = 2 * 366
"""How far ahead the next open slot is looked for."""
CALENDAR_DAYS_MAX: Final = 5 * 366
"""The longest calendar that is drawn at once."""
_STEP: Final = timedelta(days=28)


class CalendarTooLong(StellaError):
    """A freeze calendar was asked for over more days than are drawn at once, or over none."""

    code = "VAL_CALENDAR_RANGE"


class OpenWindow(Value):
    """A freeze window that is open now. `until` is the end of this occurrence; another window may follow at once."""

    name: str
    reason: str
    since: Instant
    until: Instant


class FreezeAnswer(Value):
    """`next_open` is the first moment, from now on, at which nothing is frozen: now itself when nothing is, None when none is in sight."""

    frozen: bool
    open_windows: tuple[OpenWindow, ...]
    next_open: Instant | None


class Occurrence(Value):
    """One closed time of one window, for a calendar."""

    window: str
    reason: str
    starts_at: Instant
    ends_at: Instant


def is_frozen(windows: Iterable[FreezeWindow], environment: str, now: datetime) -> FreezeAnswer:
    """What the windows say about `environment` at `now`."""
    now = as_utc(now)
    spans = _covering(windows, environment)
    open_windows = tuple(sorted((found for span in spans if (found := span.open_at(now))), key=lambda found: (found.until, found.name)))
    return FreezeAnswer(frozen=bool(open_windows), open_windows=open_windows, next_open=_next_open(spans, now))


def calendar(windows: Iterable[FreezeWindow], environment: str, since: datetime, until: datetime) -> tuple[Occurrence, ...]:
    """Every closed time that touches `[since, until)`, earliest first; nothing is merged or cut."""
    since, until = as_utc(since), as_utc(until)
    if not timedelta(0) < until - since <= timedelta(days=CALENDAR_DAYS_MAX):
        raise CalendarTooLong(f"From {since:%Y-%m-%d} until {until:%Y-%m-%d} no calendar can be drawn.", next_step=f"Ask for 1 to {CALENDAR_DAYS_MAX} days.")
    found = (
        Occurrence(window=span.window.name, reason=span.window.reason, starts_at=start, ends_at=end)
        for span in _covering(windows, environment)
        for start, end in span.between(since, until)
    )
    return tuple(sorted(found, key=lambda occurrence: (occurrence.starts_at, occurrence.ends_at, occurrence.window)))


class _Span:
    """A window with its rule read once."""

    def __init__(self, window: FreezeWindow) -> None:
        self.window = window
        self._recurrence = Recurrence(window.rrule, window.starts_at, window.time_zone) if window.rrule is not None else None

    def between(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        if self._recurrence is not None:
            yield from self._recurrence.between(since, until, self.window.length)
        elif self.window.ends_at is not None and self.window.starts_at < until and self.window.ends_at > since:
            yield self.window.starts_at, self.window.ends_at

    def open_at(self, now: datetime) -> OpenWindow | None:
        found = [(end, start) for start, end in self.between(now, now + timedelta(microseconds=1))]
        if not found:
            return None
        until, since = max(found)
        return OpenWindow(name=self.window.name, reason=self.window.reason, since=since, until=until)


def _covering(windows: Iterable[FreezeWindow], environment: str) -> list[_Span]:
    return [_Span(window) for window in windows if not window.environments or environment in window.environments]


def _next_open(spans: Sequence[_Span], now: datetime) -> datetime | None:
    moment, limit = now, now + timedelta(days=NEXT_OPEN_SEARCH_DAYS)
    while moment < limit:
        step_end = moment + _STEP
        for start, end in sorted(closed for span in spans for closed in span.between(moment, step_end)):
            if start > moment:
                return moment
            moment = max(moment, end)
        if moment < step_end:
            return moment
    return None
