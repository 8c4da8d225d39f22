"""Recurring windows over changes of clocks, in both directions. Berlin 2026: forward on 29 March (02:00 → 03:00), back on 25 October (03:00 → 02:00)."""

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from stella_pipelines.environments.freeze import calendar, is_frozen
from stella_pipelines.environments.model import FreezeWindow
from stella_pipelines.environments.recurrence import moment_of

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_S = 3600.0


def occurrence_on(date: str, first_start: str, rrule: str, lasts_s: float, zone: str = "Europe/Berlin") -> tuple[str, str]:
    """Start and end, in UTC, of the occurrence that begins on `date` of the wall clock."""
    start = datetime.fromisoformat(first_start).replace(tzinfo=ZoneInfo(zone))
    window = FreezeWindow(name="w", reason="r", starts_at=start, rrule=rrule, lasts_s=lasts_s, time_zone=zone)
    day = datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone))
    found = [each for each in calendar([window], "prod", day.astimezone(UTC), day.replace(hour=23).astimezone(UTC)) if each.starts_at >= day.astimezone(UTC)]
    assert len(found) == 1
    return f"{found[0].starts_at:%d %H:%M}", f"{found[0].ends_at:%d %H:%M}"


def test_a_window_keeps_its_wall_clock_time_over_the_changes() -> None:
    assert occurrence_on("2026-03-28", "2026-03-01T18:00", "FREQ=DAILY", HOUR_S) == ("28 17:00", "28 18:00")
    assert occurrence_on("2026-03-29", "2026-03-01T18:00", "FREQ=DAILY", HOUR_S) == ("29 16:00", "29 17:00")
    assert occurrence_on("2026-10-24", "2026-03-01T18:00", "FREQ=DAILY", HOUR_S) == ("24 16:00", "24 17:00")
    assert occurrence_on("2026-10-25", "2026-03-01T18:00", "FREQ=DAILY", HOUR_S) == ("25 17:00", "25 18:00")


def test_a_beginning_that_the_clock_skips_is_shifted_and_not_lost() -> None:
    assert occurrence_on("2026-03-29", "2026-03-01T02:30", "FREQ=DAILY", HOUR_S) == ("29 01:30", "29 02:30")  # 03:30 to 04:30 summer time


def test_a_beginning_that_comes_twice_is_the_first() -> None:
    assert occurrence_on("2026-10-25", "2026-03-01T02:30", "FREQ=DAILY", HOUR_S) == ("25 00:30", "25 01:30")


def test_a_start_given_as_the_second_of_two_times_is_that_one() -> None:
    second = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    window = FreezeWindow(name="w", reason="r", starts_at=second, rrule="FREQ=DAILY", lasts_s=60, time_zone="Europe/Berlin")
    found = calendar([window], "prod", datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC))
    assert [f"{each.starts_at:%d %H:%M}" for each in found] == ["25 01:30", "26 01:30"]


@pytest.mark.parametrize(
    ("friday", "monday_six_in_utc"),
    [("2026-03-27", "30 04:00"), ("2026-10-23", "26 05:00"), ("2026-05-08", "11 04:00")],
    ids=["forward", "back", "no change"],
)
def test_friday_evening_to_monday_morning_is_the_same_on_the_wall(friday: str, monday_six_in_utc: str) -> None:
    assert occurrence_on(friday, "2026-01-02T18:00", "FREQ=WEEKLY;BYDAY=FR", 60 * HOUR_S)[1] == monday_six_in_utc


def test_hours_are_counted_by_the_stopwatch() -> None:
    assert occurrence_on("2026-03-29", "2026-03-01T01:00", "FREQ=DAILY", 4 * HOUR_S) == ("29 00:00", "29 04:00")
    assert occurrence_on("2026-10-25", "2026-03-01T01:00", "FREQ=DAILY", 4 * HOUR_S) == ("24 23:00", "25 03:00")


def test_an_end_that_the_clock_skips_or_shows_twice_is_the_later() -> None:
    assert occurrence_on("2026-03-28", "2026-03-01T02:30", "FREQ=DAILY", 24 * HOUR_S)[1] == "29 01:30"
    assert occurrence_on("2026-10-24", "2026-03-01T02:30", "FREQ=DAILY", 24 * HOUR_S)[1] == "25 01:30"


def test_days_in_a_row_leave_no_gap_over_a_change() -> None:
    window = FreezeWindow(
        name="w", reason="r", starts_at=datetime(2026, 3, 1, 2, 30, tzinfo=BERLIN), rrule="FREQ=DAILY", lasts_s=24 * HOUR_S, time_zone="Europe/Berlin"
    )
    for month in (3, 10):
        found = calendar([window], "prod", datetime(2026, month, 20, tzinfo=UTC), datetime(2026, month, 31, tzinfo=UTC))
        assert len(found) >= 11
        assert all(one.ends_at >= other.starts_at for one, other in itertools.pairwise(found))


def test_half_an_hour_of_daylight_saving_is_known() -> None:
    # Lord Howe Island goes forward by 30 minutes, on 4 October 2026 at 02:00.
    assert occurrence_on("2026-10-04", "2026-09-01T02:15", "FREQ=DAILY", HOUR_S, "Australia/Lord_Howe") == ("03 15:45", "03 16:45")


def test_the_same_wall_clock_time_twice_is_two_moments() -> None:
    local = datetime.fromisoformat("2026-10-25T02:30")
    assert moment_of(local, BERLIN) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert moment_of(local, BERLIN, second=True) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_the_last_hour_of_a_day_of_25_hours_is_still_closed() -> None:
    start = datetime(2026, 10, 24, 2, 30, tzinfo=BERLIN)
    window = FreezeWindow(name="w", reason="r", starts_at=start, rrule="FREQ=WEEKLY", lasts_s=24 * HOUR_S, time_zone="Europe/Berlin")
    assert is_frozen([window], "prod", datetime(2026, 10, 25, 1, 15, tzinfo=UTC)).frozen
    assert not is_frozen([window], "prod", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)).frozen
