"""Tables over thousands of targets: what is ill first, the rest counted, and a way to see all."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stella_pipelines.cli.many_targets import TARGETS_SHOWN_MAX, parted, say_rest
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.pages import say_older
from stella_pipelines.store.pages import COUNTED_MAX


def told(rest: list[str]) -> str:
    words = io.StringIO()
    say_rest(Output(console=Console(file=words, width=200)), rest, "stella status prod --all")
    return words.getvalue()


def test_a_few_targets_are_all_shown_in_their_own_order() -> None:
    rows = [True, False] * (TARGETS_SHOWN_MAX // 2)
    assert parted(rows, lambda row: row) == (rows, [])


def test_of_many_targets_those_that_failed_come_first_and_the_rest_is_counted() -> None:
    rows = [("well", number) for number in range(5_000)]
    rows[4_321] = ("failed", 4_321)
    shown, rest = parted(rows, lambda row: row[0] == "well")
    assert (shown[:2], len(shown), len(rest)) == ([("failed", 4_321), ("well", 0)], TARGETS_SHOWN_MAX, 5_000 - TARGETS_SHOWN_MAX)
    assert parted(rows, lambda row: row[0] == "well", everything=True) == (rows, [])


def test_the_rest_is_told_by_state_with_the_command_that_shows_all() -> None:
    said = told(["succeeded"] * 4_970 + ["untouched"] * 10)
    assert said == "  … and 4,980 more (4,970 succeeded, 10 untouched). All of them: stella status prod --all\n"
    assert told([]) == ""


@pytest.mark.parametrize(("older", "begins"), [(0, ""), (1, "1 older."), (COUNTED_MAX, "1,000 older."), (COUNTED_MAX + 1, "More than 1,000 older.")])
def test_how_many_rows_are_behind_a_page(older: int, begins: str) -> None:
    words = io.StringIO()
    say_older(Output(console=Console(file=words, width=200)), older, "prm_1")
    assert words.getvalue().startswith(begins)
    assert ("--before prm_1" in words.getvalue()) is (older > 0)
