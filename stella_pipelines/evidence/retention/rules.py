"""Which packets may go. Pure: one packet, a time, the holds and what is needed are given.

A packet goes only when every line says so; what cannot be told keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from stella_pipelines.evidence.retention.candidates import Candidate
from stella_pipelines.evidence.retention.scopes import Hold

Reason = Literal["goes", "young", "purge", "damaged", "unlogged", "held", "needed"]
WORDS: Final[Mapping[Reason, str]] = {
    "goes": "sealed before the retention, and nothing keeps it",
    "young": "sealed within the retention",
    "purge": "tells of a purge; such packets are never purged",
    "damaged": "is not what was sealed: a copy was edited or swapped, which is evidence itself",
    "unlogged": "the log has not taken it in",
    "held": "a legal hold",
    "needed": "needed for what runs or is under way",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a packet goes, and why it does or not. `details`: the holds that keep it, or what it is needed for."""

    reason: Reason
    details: tuple[str, ...] = ()

    @property
    def goes(self) -> bool:
        """Whether it may be deleted."""
        return self.reason == "goes"


_GOES: Final = Verdict("goes")


def judge(candidate: Candidate, sealed_before: datetime, holds: Sequence[Hold], needed: Mapping[str, str]) -> Verdict:
    """What becomes of a packet. `needed`: by packet id, what it is needed for."""
    itself = _of_itself(candidate, sealed_before)
    if itself is not None:
        return Verdict(itself)
    covering = tuple(hold.id for hold in holds if hold.covers(candidate))
    if covering:
        return Verdict("held", covering)
    if candidate.id in needed:
        return Verdict("needed", (needed[candidate.id],))
    return _GOES


def _of_itself(candidate: Candidate, sealed_before: datetime) -> Reason | None:
    """What keeps the packet, whatever anybody needs or holds."""
    if candidate.sealed_at >= sealed_before:
        return "young"
    if candidate.kind == "purge":
        return "purge"
    if not candidate.logged:
        return "unlogged"
    return None if candidate.genuine else "damaged"
