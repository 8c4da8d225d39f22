"""Is it frozen, why, until when, and when is the next open slot?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stella_pipelines.environments.freeze import CALENDAR_DAYS_MAX, NEXT_OPEN_SEARCH_DAYS, CalendarTooLong, calendar, is_frozen
from stella_pipelines.environments.model import FreezeWindow
from stella_pipelines.environments.recurrence import InvalidRecurrence, Recurrence


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def one_off(name: str, starts_at: str, ends_at: str, **more: Any) -> FreezeWindow:
    return FreezeWindow(name=name, reason=f"because of {name}", starts_at=at(starts_at), ends_at=at(ends_at), **more)


def weekly(name: str, rrule: str, starts_at: str, hours: float, zone: str = "UTC") -> FreezeWindow:
    return FreezeWindow(name=name, reason="r", starts_at=at(starts_at), rrule=rrule, lasts_s=hours * 3600, time_zone=zone)


WEEKEND = weekly("weekend", "FREQ=WEEKLY;BYDAY=SA", "2026-01-03T00:00", 48)


def test_nothing_is_frozen_without_windows() -> None:
    answer = is_frozen((), "prod", at("2026-01-01T00:00"))
    assert (answer.frozen, answer.open_windows, answer.next_open) == (False, (), at("2026-01-01T00:00"))


@pytest.mark.parametrize(
    ("now", "frozen"),
    [("2026-01-02T23:59:59.999999", False), ("2026-01-03T00:00", True), ("2026-01-04T23:59:59.999999", True), ("2026-01-05T00:00", False)],
)
def test_a_window_is_closed_at_its_first_moment_and_open_at_its_last(now: str, frozen: bool) -> None:
    assert is_frozen([WEEKEND], "prod", at(now)).frozen is frozen
    assert is_frozen([one_off("w", "2026-01-03T00:00", "2026-01-05T00:00")], "prod", at(now)).frozen is frozen


def test_the_answer_says_why_and_until_when() -> None:
    books = one_off("books", "2026-01-01T00:00", "2026-01-10T00:00", environments=("prod",))
    answer = is_frozen([books, WEEKEND], "prod", at("2026-01-03T12:00"))
    assert [(window.name, window.since, window.until) for window in answer.open_windows] == [
        ("weekend", at("2026-01-03T00:00"), at("2026-01-05T00:00")),
        ("books", at("2026-01-01T00:00"), at("2026-01-10T00:00")),
    ]
    assert answer.open_windows[1].reason == "because of books"
    assert answer.next_open == at("2026-01-12T00:00")  # the weekend follows at once


def test_a_window_holds_only_where_it_says() -> None:
    only_prod = one_off("w", "2026-01-01T00:00", "2026-01-10T00:00", environments=("prod",))
    assert is_frozen([only_prod], "prod", at("2026-01-05T00:00")).frozen
    assert not is_frozen([only_prod], "staging", at("2026-01-05T00:00")).frozen


def test_windows_that_touch_are_one_closed_time() -> None:
    chain = [one_off(f"w{day}", f"2026-01-0{day}T00:00", f"2026-01-0{day + 1}T00:00") for day in range(1, 6)]
    answer = is_frozen(reversed(chain), "prod", at("2026-01-01T12:00"))
    assert [window.name for window in answer.open_windows] == ["w1"]
    assert answer.next_open == at("2026-01-06T00:00")


def test_a_minute_between_windows_is_an_open_slot() -> None:
    pair = [one_off("a", "2026-01-01T00:00", "2026-01-02T00:00"), one_off("b", "2026-01-02T00:01", "2026-01-03T00:00")]
    assert is_frozen(pair, "prod", at("2026-01-01T12:00")).next_open == at("2026-01-02T00:00")


def test_an_endless_freeze_has_no_next_open_slot() -> None:
    endless = weekly("endless", "FREQ=WEEKLY", "2026-01-05T00:00", 7 * 24)
    answer = is_frozen([endless], "prod", at("2026-06-01T00:00"))
    assert (answer.frozen, answer.next_open) == (True, None)
    assert answer.open_windows[0].until == at("2026-06-08T00:00")


def test_the_search_for_an_open_slot_is_bounded() -> None:
    now = at("2026-01-01T00:00")
    near, far = (now + timedelta(days=NEXT_OPEN_SEARCH_DAYS + days) for days in (-1, 1))
    frozen_until = [FreezeWindow(name="w", reason="r", starts_at=now, ends_at=end) for end in (near, far)]
    assert is_frozen(frozen_until[:1], "prod", now).next_open == near
    assert is_frozen(frozen_until[1:], "prod", now).next_open is None


def test_overlapping_occurrences_of_one_window_are_until_the_last() -> None:
    daily = weekly("w", "FREQ=DAILY;COUNT=3", "2026-01-01T00:00", 36)
    answer = is_frozen([daily], "prod", at("2026-01-02T06:00"))
    assert answer.open_windows[0].until == at("2026-01-03T12:00")
    assert answer.next_open == at("2026-01-04T12:00")


def test_a_long_window_is_closed_to_its_last_minute() -> None:
    summer = weekly("summer", "FREQ=YEARLY", "2026-07-01T00:00", 60 * 24)
    assert is_frozen([summer], "prod", at("2027-08-29T23:59")).frozen
    assert not is_frozen([summer], "prod", at("2027-08-30T00:00")).frozen


def test_the_calendar_lists_every_closed_time_whole_and_in_order() -> None:
    books = one_off("books", "2026-01-09T00:00", "2026-02-01T00:00")
    found = calendar([books, WEEKEND], "prod", at("2026-01-04T00:00"), at("2026-01-17T00:00"))
    assert [(each.window, each.starts_at.day, each.ends_at.day) for each in found] == [("weekend", 3, 5), ("books", 9, 1), ("weekend", 10, 12)]
    assert found[1].reason == "because of books"


def test_a_calendar_has_a_range() -> None:
    now = at("2026-01-01T00:00")
    with pytest.raises(CalendarTooLong):
        calendar([], "prod", now, now + timedelta(days=CALENDAR_DAYS_MAX, seconds=1))
    with pytest.raises(CalendarTooLong):
        calendar([], "prod", now, now)


def test_count_and_until_end_a_rule() -> None:
    counted = weekly("w", "FREQ=WEEKLY;BYDAY=SA;COUNT=2", "2026-01-03T00:00", 48)
    bounded = weekly("w", "FREQ=WEEKLY;BYDAY=SA;UNTIL=20260110T000000Z", "2026-01-03T00:00", 48)
    for window in (counted, bounded):
        assert is_frozen([window], "prod", at("2026-01-10T12:00")).frozen
        assert not is_frozen([window], "prod", at("2026-01-17T12:00")).frozen


def test_a_start_that_does_not_fit_the_rule_is_only_the_earliest() -> None:
    window = weekly("w", "FREQ=WEEKLY;BYDAY=FR;BYHOUR=18;BYMINUTE=0", "2026-01-01T00:00", 1)
    assert Recurrence("FREQ=WEEKLY;BYDAY=FR;BYHOUR=18;BYMINUTE=0", window.starts_at, "UTC").first() == at("2026-01-02T18:00")
    assert not is_frozen([window], "prod", at("2026-01-01T00:30")).frozen
    assert is_frozen([window], "prod", at("2026-01-02T18:30")).frozen


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "DAILY",
        "FREQ=HOURLY",
        "FREQ=SECONDLY",
        "freq=daily",
        "FREQ=DAILY;FREQ=WEEKLY",
        "FREQ=DAILY;BYSECOND=1",
        "FREQ=YEARLY;BYWEEKNO=1",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=99999",
        "FREQ=DAILY;UNTIL=20261231",
        "FREQ=DAILY;UNTIL=20261231T000000",
        "FREQ=DAILY;UNTIL=20269931T000000Z",
        "FREQ=DAILY;COUNT=2;UNTIL=20261231T000000Z",
        "FREQ=DAILY;BYHOUR=25",
        "FREQ=DAILY;BYDAY=XX",
        "FREQ=DAILY;BYMONTH=13",
        "FREQ=WEEKLY;BYDAY=MO,",
        "FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=1,2,3,4,5",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=DAILY;UNTIL=20250101T000000Z",
        "DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY",
        "FREQ=DAILY;" + "X" * 600,
        "FREQ=DAILY;BYSETPOS=0",
        "FREQ=DAILY;BYDAY=--",
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(rule: str) -> None:
    with pytest.raises(InvalidRecurrence):
        Recurrence(rule, at("2026-01-01T00:00"), "UTC").first()


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "../etc/passwd", "/etc/passwd", "America", "Europe/Berlin\n", "a\0b"])
def test_a_zone_that_does_not_exist_is_refused(zone: str) -> None:
    with pytest.raises(InvalidRecurrence, match="no time zone"):
        Recurrence("FREQ=DAILY", at("2026-01-01T00:00"), zone)


@pytest.mark.parametrize("year", [1969, 2400])
def test_a_rule_begins_in_years_that_the_search_covers(year: int) -> None:
    with pytest.raises(InvalidRecurrence, match="between the years"):
        Recurrence("FREQ=DAILY", datetime(year, 6, 1, tzinfo=UTC), "UTC")


def test_a_window_that_cannot_be_computed_never_reads_as_open() -> None:
    broken = WEEKEND.model_copy(update={"time_zone": "Nowhere/Land"})
    with pytest.raises(InvalidRecurrence):
        is_frozen([broken], "prod", at("2026-01-01T00:00"))
