"""Freeze answers against a model that counts minutes: no rule library, no folds, only a table of what the clock on the wall shows at every minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from stella_pipelines.environments.freeze import calendar, is_frozen
from stella_pipelines.environments.model import FreezeWindow
from stella_pipelines.environments.recurrence import Recurrence

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BEFORE, AFTER = 5 * DAY, 4 * DAY
"""How much time around `now` the model knows. Windows last up to three days, so what began before it is over."""
DAY_NAMES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
CHANGES = (
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("UTC", datetime(2026, 2, 28, 12, tzinfo=UTC)),
)


@dataclass(frozen=True)
class Weekly:
    """A window as the model understands it: on some weekdays of every n-th week, at a time of day."""

    first_day: date
    weekdays: tuple[int, ...]
    every_weeks: int
    minute_of_day: int
    lasts_min: int

    def window(self, name: str, zone: str) -> FreezeWindow:
        """The same as a declared window. Its `starts_at` is noon before the first day, so that no clock change touches it."""
        rule = f"FREQ=WEEKLY;INTERVAL={self.every_weeks};BYDAY={','.join(DAY_NAMES[day] for day in self.weekdays)}"
        rule += f";BYHOUR={self.minute_of_day // 60};BYMINUTE={self.minute_of_day % 60}"
        starts_at = datetime(self.first_day.year, self.first_day.month, self.first_day.day, tzinfo=ZoneInfo(zone))
        return FreezeWindow(name=name, reason="r", starts_at=starts_at, rrule=rule, lasts_s=self.lasts_min * 60.0, time_zone=zone)

    def happens_on(self, day: date) -> bool:
        """Whether an occurrence begins on this day of the wall clock."""
        monday, first_monday = (each - timedelta(days=each.weekday()) for each in (day, self.first_day))
        return day >= self.first_day and day.weekday() in self.weekdays and ((monday - first_monday).days // 7) % self.every_weeks == 0


class Wall:
    """A clock on the wall, watched every minute of a stretch of time."""

    def __init__(self, zone: str, since: datetime, until: datetime) -> None:
        self.shown: dict[datetime, list[datetime]] = {}
        moment = since
        while moment < until:
            self.shown.setdefault(moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None), []).append(moment)
            moment += MINUTE

    def knows(self, local: datetime) -> bool:
        return min(self.shown) <= local <= max(self.shown)

    def when(self, local: datetime, *, last: bool = False) -> datetime:
        """The first (or last) minute at which it shows `local`; a time that it skips counts on from the last one that it showed."""
        skipped = timedelta(0)
        while local - skipped not in self.shown:
            skipped += MINUTE
        return self.shown[local - skipped][-1 if last or skipped else 0] + skipped


def closed_times(wall: Wall, windows: list[Weekly]) -> set[tuple[int, datetime, datetime]]:
    """Every occurrence that the wall clock sees begin, by the number of its window."""
    found = set()
    for number, window in enumerate(windows):
        for day in sorted({local.date() for local in wall.shown}):
            local = datetime(day.year, day.month, day.day) + window.minute_of_day * MINUTE
            days, rest = divmod(window.lasts_min, 24 * 60)
            if window.happens_on(day) and wall.knows(local) and wall.knows(local + days * DAY):
                start = wall.when(local)
                end = (wall.when(local + days * DAY, last=True) if days else start) + rest * MINUTE
                found.add((number, start, end))
    return found


weeklies = st.builds(
    Weekly,
    first_day=st.dates(date(2025, 12, 1), date(2026, 2, 20)),
    weekdays=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    every_weeks=st.integers(1, 3),
    minute_of_day=st.integers(0, 24 * 60 - 1) | st.integers(60, 240),
    lasts_min=st.integers(1, 3 * 24 * 60) | st.sampled_from([24 * 60, 48 * 60]),
)


@given(st.sampled_from(CHANGES), st.integers(-2 * 24 * 60, 2 * 24 * 60), st.lists(weeklies, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_answers_are_those_of_counting_minutes(change: tuple[str, datetime], offset_min: int, windows: list[Weekly]) -> None:
    zone, now = change[0], change[1] + offset_min * MINUTE
    until = now + AFTER - DAY  # the model must know the ends of what begins before this
    seen = closed_times(Wall(zone, now - BEFORE, now + AFTER + 4 * DAY), windows)
    declared = [window.window(f"w{number}", zone) for number, window in enumerate(windows)]

    touching = {(f"w{number}", start, end) for number, start, end in seen if start < until and end > now}
    assert {(each.window, each.starts_at, each.ends_at) for each in calendar(declared, "prod", now, until)} == touching

    answer = is_frozen(declared, "prod", now)
    assert {window.name for window in answer.open_windows} == {name for name, start, end in touching if start <= now < end}
    assert answer.frozen is bool(answer.open_windows)

    minute = now
    while minute < until and any(start <= minute < end for _, start, end in touching):
        minute += MINUTE
    if minute < until:
        assert answer.next_open == minute
    else:
        assert answer.next_open is None or answer.next_open >= until


parts = st.fixed_dictionaries(
    {"FREQ": st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]), "INTERVAL": st.integers(1, 5).map(str)},
    optional={
        "BYMONTH": st.integers(1, 12).map(str),
        "BYMONTHDAY": st.sampled_from(["1", "15", "29", "31", "-1"]),
        "BYDAY": st.sampled_from(["MO", "TU,TH", "SA,SU"]),
        "COUNT": st.integers(1, 50).map(str),
        "BYHOUR": st.sampled_from(["0", "6,18"]),
        "WKST": st.sampled_from(["MO", "SU"]),
    },
)


@given(parts, st.datetimes(datetime(2024, 1, 1), datetime(2028, 12, 31)))
@settings(max_examples=60, deadline=None)
def test_a_calendar_moved_by_whole_cycles_gives_the_same_days(rule_parts: dict[str, str], first: datetime) -> None:
    """The product expands rules 7,600 years later, so that a rule that never happens ends soon. dateutil in the right years must agree."""
    rule, start = ";".join(f"{key}={value}" for key, value in rule_parts.items()), first.replace(microsecond=0, tzinfo=UTC)
    until = start + timedelta(days=500)
    expected = [moment.replace(tzinfo=UTC) for moment in rrulestr(rule + _stop(rule, until), dtstart=start.replace(tzinfo=None))]
    found = [begins for begins, _ in Recurrence(rule, start, "UTC").between(start, until, MINUTE)]
    assert found == [moment for moment in expected if moment < until]


def _stop(rule: str, until: datetime) -> str:
    return "" if "COUNT" in rule else f";UNTIL={until:%Y%m%dT%H%M%S}"
