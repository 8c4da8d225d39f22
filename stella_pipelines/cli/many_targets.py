"""Tables with a line for each target, of which an environment may have thousands: what needs a person's eye comes first, the rest is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from stella_pipelines.cli.output import Output, styled

Row = TypeVar("Row")
TARGETS_SHOWN_MAX: Final = 20
"""Lines of one table. Somebody who reads more of them wants `--all`, or `--json`."""


def parted(rows: Sequence[Row], is_well: Callable[[Row], bool], *, everything: bool = False) -> tuple[list[Row], list[Row]]:
    """The rows that are shown, and those that are only counted. Pure. Where not all are shown, what is not well goes first."""
    if everything or len(rows) <= TARGETS_SHOWN_MAX:
        return list(rows), []
    in_order = sorted(rows, key=is_well)
    return in_order[:TARGETS_SHOWN_MAX], in_order[TARGETS_SHOWN_MAX:]


def say_rest(output: Output, states: Iterable[str], command: str) -> None:
    """One line for the rows that were not shown: how many in which state, and the command that shows all."""
    counts = Counter(states)
    if counts:
        told = ", ".join(f"{count:,} {styled(state)}" for state, count in counts.most_common())
        output.say(f"  … and {counts.total():,} more ({told}). All of them: [bold]{command}[/]")
