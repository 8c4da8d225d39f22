"""Freeze windows that can be computed: a known time zone, a rule that happens, years that the calendar search covers."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import available_timezones

from stella_pipelines.environments.model import Estate, FreezeWindow
from stella_pipelines.environments.problems import Path, nearest
from stella_pipelines.environments.recurrence import InvalidRecurrence, Recurrence, zone_named
from stella_pipelines.environments.rules.finding import Finding


def windows_happen(estate: Estate) -> Iterator[Finding]:
    """Every window's zone and rule."""
    for window in estate.freeze_windows:
        yield from _computable(window, ("freeze_windows", window.name))


def _computable(window: FreezeWindow, at: Path) -> Iterator[Finding]:
    try:
        zone_named(window.time_zone)
    except InvalidRecurrence as error:
        near = nearest(window.time_zone, available_timezones()) or "Europe/Berlin"
        yield Finding((*at, "time_zone"), f"{error.what} Write an IANA name such as {near}.")
        return
    if window.rrule is None:
        return
    try:
        Recurrence(window.rrule, window.starts_at, window.time_zone).first()
    except InvalidRecurrence as error:
        yield Finding((*at, "rrule"), error.what)
