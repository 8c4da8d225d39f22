"""When a recurring freeze window begins and ends: RFC 5545 rules in local time, as moments in UTC. Pure; the expansion itself is dateutil's.

- A beginning keeps its wall-clock time over daylight-saving changes. A time that the clock skips is read with the offset before the change (02:30
  becomes 03:30), so that no occurrence is lost; a time that the clock shows twice means the first.
- A length is read as RFC 5545 reads durations: whole days by the calendar, the rest by the stopwatch. Friday 18:00 plus 60 hours is Monday 06:00 on
  the wall clock, also over a change. An end that the clock shows twice means the second. In doubt, closed.
- `starts_at` is the earliest beginning; the rule decides whether it is one.

Not supported, because freezes do not need it and a search must end: rules finer than DAILY, BYSECOND, BYYEARDAY, BYWEEKNO, BYEASTER, RDATE, EXDATE.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrule, rrulestr

from stella_pipelines.core.errors import StellaError

RULE_CHARS_MAX: Final = 500
STARTS_PER_DAY_MAX: Final = 24
YEAR_FIRST: Final = 1970
YEAR_LAST: Final = 2399
_PARTS: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYHOUR", "BYMINUTE", "BYSETPOS", "WKST")
_FREQUENCIES: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_PART: Final = re.compile(r"([A-Z]+)=([A-Z0-9,+-]+)")
_SMALL: Final = re.compile(r"[1-9][0-9]{0,3}")
# dateutil looks for the next match up to the year 9999, whatever one asks; a rule that never matches would keep it busy for seconds. The Gregorian
# calendar repeats every 400 years to the weekday, so the rule is expanded 19 such cycles later, where the end is near.
_SHIFT_YEARS: Final = 19 * 400
_EARLIEST: Final = datetime.fromisoformat(f"{YEAR_FIRST}-01-01")
_LATEST: Final = datetime.fromisoformat(f"{YEAR_LAST}-12-31")


class InvalidRecurrence(StellaError):
    """A freeze window's rule or time zone cannot be understood, or never happens."""

    code = "ENV_RECURRENCE_INVALID"

    def __init__(self, what: str) -> None:
        super().__init__(what, next_step="Write a rule such as FREQ=WEEKLY;BYDAY=FR and an IANA time zone such as Europe/Berlin.")


def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone. Raises `InvalidRecurrence`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRecurrence(f"There is no time zone {name[:60]!r}.") from error


def moment_of(local: datetime, zone: ZoneInfo, *, second: bool = False) -> datetime:
    """The moment at which the clock in `zone` shows `local`; `second` chooses among two, and a skipped time is read with the offset before the gap."""
    return max(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in ((0, 1) if second else (0,)))


class Recurrence:
    """A checked rule. Raises `InvalidRecurrence` when it is made from something else."""

    def __init__(self, rule: str, starts_at: datetime, time_zone: str) -> None:
        self._zone = zone_named(time_zone)
        self._starts_at = starts_at.astimezone(UTC)
        self._first_local = starts_at.astimezone(self._zone).replace(tzinfo=None, microsecond=0, fold=0)
        if not YEAR_FIRST <= self._first_local.year <= YEAR_LAST:
            raise InvalidRecurrence(f"A recurring window begins between the years {YEAR_FIRST} and {YEAR_LAST}.")
        self._parts = _parts_of(rule)
        self._until = _until_of(self._parts)

    @cached_property
    def _rule(self) -> rrule:
        text = ";".join(f"{key}={value}" for key, value in self._parts.items() if key != "UNTIL")
        try:
            expanded = rrulestr(text, dtstart=_shifted(self._first_local), cache=True)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise InvalidRecurrence(f"The rule {text!r} is not RFC 5545: {error}.") from error
        if not isinstance(expanded, rrule):
            raise InvalidRecurrence(f"The rule {text!r} is not one rule.")
        return expanded

    def first(self) -> datetime:
        """The first beginning. Raises `InvalidRecurrence` when there is none."""
        found = next(iter(self._rule), None)
        start = self._moment(found) if found is not None else None
        if start is None or (self._until is not None and start > self._until):
            raise InvalidRecurrence("The rule never happens after 'starts_at'.")
        return start

    def between(self, since: datetime, until: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
        """Beginning and end of each occurrence that touches `[since, until)`, roughly in order (a skipped hour may swap neighbours)."""
        margin = timedelta(days=2)  # more than any zone's offset and any change of it
        earliest, latest = self._local(since - length - margin), self._local(until + margin)
        for shifted in self._rule.between(earliest, latest, inc=True):
            start = self._moment(shifted)
            end = self._end(start, _unshifted(shifted), length)
            if start < until and end > since and (self._until is None or start <= self._until):
                yield start, end

    def _moment(self, shifted: datetime) -> datetime:
        local = _unshifted(shifted)
        # 'starts_at' itself may be the second of two equal wall-clock times.
        return self._starts_at if local == self._first_local else moment_of(local, self._zone)

    def _end(self, start: datetime, local: datetime, length: timedelta) -> datetime:
        days = timedelta(days=length.days)
        return (moment_of(local + days, self._zone, second=True) if days else start) + (length - days)

    def _local(self, moment: datetime) -> datetime:
        local = moment.astimezone(self._zone).replace(tzinfo=None, fold=0)
        return _shifted(min(max(local, _EARLIEST), _LATEST))


def _parts_of(rule: str) -> dict[str, str]:
    found = [_PART.fullmatch(part) for part in rule.split(";")] if len(rule) <= RULE_CHARS_MAX else [None]
    parts = {match[1]: match[2] for match in found if match}
    if None in found or len(parts) != len(found):
        raise InvalidRecurrence(f"The rule {rule[:80]!r} is not NAME=VALUE;NAME=VALUE with each name once.")
    for key in parts:
        if key not in _PARTS:
            raise InvalidRecurrence(f"The rule's part {key} is not supported; supported are {', '.join(_PARTS)}.")
    if parts.get("FREQ") not in _FREQUENCIES:
        raise InvalidRecurrence(f"The rule needs FREQ= one of {', '.join(_FREQUENCIES)}.")
    _check_numbers(parts)
    return parts


def _check_numbers(parts: dict[str, str]) -> None:
    for key in ("INTERVAL", "COUNT"):
        if key in parts and not _SMALL.fullmatch(parts[key]):
            raise InvalidRecurrence(f"The rule's {key} is a number between 1 and 9999.")
    starts_per_day = len(parts.get("BYHOUR", "").split(",")) * len(parts.get("BYMINUTE", "").split(","))
    if starts_per_day > STARTS_PER_DAY_MAX:
        raise InvalidRecurrence(f"The rule begins {starts_per_day} times a day; at most {STARTS_PER_DAY_MAX} are supported.")


def _until_of(parts: dict[str, str]) -> datetime | None:
    if "UNTIL" not in parts:
        return None
    text = "" if "COUNT" in parts else parts["UNTIL"]
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidRecurrence("The rule's UNTIL is a time in UTC such as 20261231T235959Z, and does not go with COUNT.") from error


def _shifted(local: datetime) -> datetime:
    return local.replace(year=local.year + _SHIFT_YEARS)


def _unshifted(shifted: datetime) -> datetime:
    return shifted.replace(year=shifted.year - _SHIFT_YEARS)
