"""Where runs cannot be forked, and what is said about it."""

from __future__ import annotations

import sys

import pytest

from stella_pipelines.jobs.warm.forking import SWITCH_VARIABLE, System, this_system, why_not

LINUX = System(platform="linux", forks=True, ties_children=True, names_callers=True)


def test_on_linux_nothing_is_in_the_way() -> None:
    assert why_not(LINUX, {}) is None
    assert why_not(LINUX, {SWITCH_VARIABLE: "on"}) is None


@pytest.mark.parametrize("word", ["off", "OFF", " 0 ", "no", "false"])
def test_an_operator_may_switch_it_off(word: str) -> None:
    assert SWITCH_VARIABLE in (why_not(LINUX, {SWITCH_VARIABLE: word}) or "")


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"platform": "win32", "forks": False}, "fork"),
        ({"platform": "darwin"}, "prctl"),
        ({"ties_children": False}, "prctl"),
        ({"names_callers": False}, "SO_PEERCRED"),
    ],
)
def test_what_is_missing_is_named(lacking: dict[str, object], said: str) -> None:
    assert said in (why_not(LINUX.model_copy(update=lacking), {}) or "")


def test_this_system_is_looked_at() -> None:
    found = this_system()
    assert found.platform == sys.platform
    assert (why_not(found, {}) is None) == (sys.platform == "linux")
