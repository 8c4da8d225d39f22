"""`decisions`: one row for every decision, allow or deny; and `gates`: one row for what each gate said in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pandas as pd

from stella_pipelines.evidence.frames.columns import Cell, Column, Table
from stella_pipelines.evidence.frames.places import PLACE, place_of
from stella_pipelines.evidence.frames.reading import Document, count, digest, documents, flag, inside, of_kinds, text, texts, time
from stella_pipelines.evidence.verify import VerifiedPacket

DECISIONS: Final = (
    *PLACE,
    Column("outcome", "category", "`allow` or `deny`"),
    Column("release", "text", "Name and version of the release"),
    Column("release_digest", "text", "The release's identity"),
    Column("promotion_id", "text", "The promotion that was decided"),
    Column("attempt", "count", "How often this promotion had been judged, with this time"),
    Column("requested_by", "text", "Who asked for it"),
    Column("requester_kind", "category", "`human` or `system`"),
    Column("reason", "text", "Why it was asked for"),
    Column("approvers", "text", "Everybody whose approval filled a seat, with a comma between them"),
    Column("approver_count", "count", "How many they are"),
    Column("gate_count", "count", "How many gates were asked"),
    Column("denied_by", "text", "The gates that denied, with a comma between them"),
    Column("ungated", "flag", "Whether the environment says that it has no gates"),
    Column("rules", "category", "Which rules judged"),
    Column("plan_digest", "text", "The plan that was judged"),
    Column("requested_at", "time", "When it was requested"),
    Column("begun_at", "time", "When the gates began to be asked"),
    Column("decided_at", "time", "When it was decided"),
)
GATES: Final = (
    *PLACE,
    Column("release", "text", "Name and version of the release"),
    Column("release_digest", "text", "The release's identity"),
    Column("decided_at", "time", "When it was decided"),
    Column("position", "count", "The gate's place in the decision, from 1"),
    Column("gate", "category", "The gate's name in the estate"),
    Column("kind", "category", "What kind of gate it is"),
    Column("verdict", "category", "`allow`, `deny`, or `wait` where another gate denied before this one was through"),
    Column("reasons", "text", "Why, one reason a line"),
    Column("would_change", "text", "What would change it, one thing a line"),
    Column("inputs_digest", "text", "The blob with everything that the gate judged"),
)


class Decisions:
    """Gathers the rows of `decisions`."""

    def __init__(self) -> None:
        self._table = Table(DECISIONS)

    def take(self, packet: VerifiedPacket) -> None:
        """Add the packet, if it is a decision."""
        if packet.kind == "decision":
            self._table.add({**place_of(packet), **_decided(packet.statement.predicate)})

    def frame(self) -> pd.DataFrame:
        """By environment and sequence."""
        return self._table.frame(("environment", "sequence", "packet_digest"))


class Gates:
    """Gathers the rows of `gates`."""

    def __init__(self) -> None:
        self._table = Table(GATES)

    def take(self, packet: VerifiedPacket) -> None:
        """Add what each gate of a decision said."""
        if packet.kind != "decision":
            return
        decision = inside(packet.statement.predicate, "decision")
        for position, gate in enumerate(documents(decision, "gates"), start=1):
            self._table.add({**place_of(packet), **_said(packet.statement.predicate, gate, position)})

    def frame(self) -> pd.DataFrame:
        """By environment, sequence and place in the decision."""
        return self._table.frame(("environment", "sequence", "packet_digest", "position"))


def decisions(source: Iterable[VerifiedPacket]) -> pd.DataFrame:
    """Every decision. The columns are those of `DECISIONS`."""
    found = Decisions()
    for packet in of_kinds(source, "decision"):
        found.take(packet)
    return found.frame()


def gates(source: Iterable[VerifiedPacket]) -> pd.DataFrame:
    """What every gate said in every decision. The columns are those of `GATES`."""
    found = Gates()
    for packet in of_kinds(source, "decision"):
        found.take(packet)
    return found.frame()


def _decided(predicate: Document) -> dict[str, Cell]:
    decision, times = inside(predicate, "decision"), inside(predicate, "times")
    asked, release, requester = documents(decision, "gates"), inside(decision, "release"), inside(decision, "requested_by")
    approvers = texts(decision, "approvers")
    return {
        "outcome": text(decision, "outcome"),
        "release": text(release, "name"),
        "release_digest": digest(release, "digest"),
        "promotion_id": text(decision, "promotion_id"),
        "attempt": count(decision, "attempt"),
        "requested_by": text(requester, "name"),
        "requester_kind": text(requester, "kind"),
        "reason": text(decision, "reason"),
        "approvers": ", ".join(approvers),
        "approver_count": len(approvers),
        "gate_count": len(asked),
        "denied_by": ", ".join(text(gate, "name") or "?" for gate in asked if gate.get("verdict") == "deny"),
        "ungated": flag(decision, "ungated"),
        "rules": text(decision, "rules"),
        "plan_digest": digest(decision, "plan_digest"),
        **{name: time(times, name) for name in ("requested_at", "begun_at", "decided_at")},
    }


def _said(predicate: Document, gate: Document, position: int) -> dict[str, Cell]:
    release = inside(predicate, "decision", "release")
    return {
        "release": text(release, "name"),
        "release_digest": digest(release, "digest"),
        "decided_at": time(inside(predicate, "times"), "decided_at"),
        "position": position,
        "gate": text(gate, "name"),
        "kind": text(gate, "kind"),
        "verdict": text(gate, "verdict"),
        "reasons": "\n".join(texts(gate, "reasons")),
        "would_change": "\n".join(texts(gate, "would_change")),
        "inputs_digest": digest(gate, "inputs"),
    }
