"""What a packet says, in the few words of a line that a person reads. Pure. What a packet does not say is left empty, and never guessed."""

from __future__ import annotations

from dataclasses import dataclass

from stella_pipelines.core.clock import format_instant
from stella_pipelines.evidence.frames.meaning import label_of
from stella_pipelines.evidence.frames.reading import inside, text
from stella_pipelines.evidence.frames.told import told_by
from stella_pipelines.evidence.verify import VerifiedPacket


@dataclass(frozen=True, slots=True)
class PacketLine:
    """One packet for people. `artifacts`: what it rests on, by name, with the digest in hex."""

    packet_id: str
    kind: str
    stream: str
    sequence: int
    sealed_at: str
    outcome: str
    release: str
    by: str
    why: str
    artifacts: tuple[tuple[str, str], ...]


def line_of(packet: VerifiedPacket) -> PacketLine:
    """The packet in short."""
    told, seal, predicate = told_by(packet), packet.seal, packet.statement.predicate
    people = [] if told is None else [*filter(None, [told.by]), *(f"approved by {name}" for name in told.approvers)]
    outcome = told.verdict if told else text(predicate, "verificationResult")
    return PacketLine(
        packet_id=seal.packet_id,
        kind=packet.kind,
        stream=seal.stream,
        sequence=seal.sequence,
        sealed_at=format_instant(seal.sealed_at),
        outcome=outcome or "",
        release=label_of(packet) or packet.statement.subject[0].name,
        by=", ".join(people) or _whoever(packet),
        why=(told.detail if told else text(predicate, "reason")) or "",
        artifacts=tuple((one.name, one.digest.hex) for one in packet.statement.inputs),
    )


def _whoever(packet: VerifiedPacket) -> str:
    predicate = packet.statement.predicate
    return next((name for member in ("finalized_by", "exported_by", "purged_by") if (name := text(inside(predicate, member), "name"))), "")
