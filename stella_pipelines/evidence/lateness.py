"""What to do when the clock stands far behind the newest packet of a stream. Pure.

A decision or an override comes before any effect, so it is refused: nothing is lost by waiting for a clock that is right. The end of a deployment or of a
rollback comes after its effects, which must be told whatever the clock says: it is sealed, and the packet says how late its clock was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from stella_pipelines.core import limits
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.statement import Kind

LateClock = Literal["refuse", "note"]
CLOCK_KEY: Final = "clock"
"""Where a predicate tells of a late clock. Only sealing writes it."""


class ClockNote(Value):
    """The seal's time is this much earlier than that of a packet which was sealed before it. The order of the two is their sequence's."""

    behind_newest_packet_s: int


def late_clock_of(kind: Kind) -> LateClock:
    """Whether a packet of this kind tells of something that can still be left undone."""
    return "refuse" if kind in ("decision", "override") else "note"


def lateness(newest: datetime, at: datetime) -> ClockNote | None:
    """The note for a packet sealed `at` when the newest one is of `newest`; None when the clocks agree well enough."""
    behind_s = (newest - at).total_seconds()
    return ClockNote(behind_newest_packet_s=int(behind_s)) if behind_s > limits.CLOCK_BACK_MAX_S else None
