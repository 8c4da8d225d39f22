"""The columns that every frame of packets begins with: which packet a row is from, and who signed it."""

from __future__ import annotations

from typing import Final

from stella_pipelines.evidence.frames.columns import Cell, Column
from stella_pipelines.evidence.verify import VerifiedPacket

PLACE: Final = (
    Column("packet_id", "text", "The packet that says so"),
    Column("packet_digest", "text", "SHA-256 of the packet's file"),
    Column("key_id", "category", "The key that signed it"),
    Column("environment", "category", "The environment that it is about"),
    Column("sequence", "count", "Its number in its stream, from 1 without gaps"),
    Column("sealed_at", "time", "When it was sealed"),
)


def place_of(packet: VerifiedPacket) -> dict[str, Cell]:
    """The cells of these columns."""
    seal = packet.seal
    return {
        "packet_id": seal.packet_id,
        "packet_digest": packet.packet_digest,
        "key_id": packet.key_id,
        "environment": seal.environment,
        "sequence": seal.sequence,
        "sealed_at": seal.sealed_at,
    }
