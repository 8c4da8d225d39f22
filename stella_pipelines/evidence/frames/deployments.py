"""`deployments`: one row for every deployment, retry and rollback, with how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pandas as pd

from stella_pipelines.evidence.frames.columns import Cell, Column, Table
from stella_pipelines.evidence.frames.places import PLACE, place_of
from stella_pipelines.evidence.frames.reading import Document, count, digest, flag, inside, of_kinds, text, time
from stella_pipelines.evidence.verify import VerifiedPacket

_ENDS: Final = ("succeeded", "failed", "rolled_back", "rollback_failed", "untouched", "running")
DEPLOYMENTS: Final = (
    *PLACE,
    Column("packet_kind", "category", "`rollback` when what ran before runs again or should, else `deployment`"),
    Column("deployment_id", "text", "The deployment"),
    Column("deployment_sequence", "count", "Its number among the deployments of the environment"),
    Column("kind", "category", "Why it was: `promotion`, `retry` of failed targets, or `rollback` on command"),
    Column("state", "category", "How it ended: `succeeded`, `failed`, `rolled_back` or `rollback_failed`"),
    Column("release", "text", "Name and version of the release"),
    Column("release_digest", "text", "The release's identity"),
    Column("previous_release_digest", "text", "The release that was proven there before"),
    Column("promotion_id", "text", "The promotion that wanted it"),
    Column("decision_packet_id", "text", "The packet of the decision that allowed it"),
    Column("retry_of", "text", "The deployment whose failed targets were tried again"),
    Column("attempt", "count", "1, and one more for every retry"),
    Column("actor", "text", "Who started it"),
    Column("reason", "text", "Why, in that person's words"),
    Column("started_at", "time", "When it began"),
    Column("ended_at", "time", "When its end was recorded"),
    Column("duration_s", "number", "The seconds between"),
    Column("target_count", "count", "How many targets it was about"),
    *(Column(f"targets_{end}", "count", f"How many of them ended as `{end}`") for end in _ENDS),
    Column("failure_code", "category", "The error that it failed with"),
    Column("failure", "text", "The error in words"),
    Column("as_released", "flag", "Whether the last look showed on every target what was released"),
    Column("healthy", "flag", "Whether it showed every target healthy, too"),
    Column("plan_digest", "text", "The plan that was carried out"),
)


class Deployments:
    """Gathers the rows of `deployments`."""

    def __init__(self) -> None:
        self._table = Table(DEPLOYMENTS)

    def take(self, packet: VerifiedPacket) -> None:
        """Add the packet, if it is about a deployment."""
        if packet.kind in ("deployment", "rollback"):
            self._table.add({**place_of(packet), "packet_kind": packet.kind, **_ended(packet.statement.predicate)})

    def frame(self) -> pd.DataFrame:
        """By environment and sequence."""
        return self._table.frame(("environment", "sequence", "packet_digest"))


def deployments(source: Iterable[VerifiedPacket]) -> pd.DataFrame:
    """Every deployment, retry and rollback. The columns are those of `DEPLOYMENTS`."""
    found = Deployments()
    for packet in of_kinds(source, "deployment", "rollback"):
        found.take(packet)
    return found.frame()


def _ended(predicate: Document) -> dict[str, Cell]:
    record, release, failure, look = (inside(predicate, name) for name in ("deployment", "release", "failure", "observation"))
    started_at, ended_at = time(record, "started_at"), time(record, "ended_at")
    counts = inside(predicate, "counts")
    numbers = {end: (count(counts, end) or 0) if counts else None for end in _ENDS}
    return {
        "deployment_id": text(record, "id"),
        "deployment_sequence": count(record, "sequence"),
        **{name: text(record, name) for name in ("kind", "state", "promotion_id", "retry_of", "reason")},
        "release": text(release, "label"),
        "release_digest": digest(release, "digest"),
        "previous_release_digest": digest(record, "previous_release_digest"),
        "decision_packet_id": text(inside(predicate, "decision"), "packet_id"),
        "attempt": count(record, "attempt"),
        "actor": text(inside(record, "actor"), "name"),
        "started_at": started_at,
        "ended_at": ended_at,
        "duration_s": (ended_at - started_at).total_seconds() if started_at and ended_at else None,
        "target_count": sum(number or 0 for number in numbers.values()) if counts else None,
        **{f"targets_{end}": number for end, number in numbers.items()},
        "failure_code": text(failure, "code"),
        "failure": text(failure, "what"),
        "as_released": flag(look, "as_released"),
        "healthy": flag(look, "healthy"),
        "plan_digest": digest(record, "plan_digest"),
    }
