"""What is known of packets that are gone: for whoever asks for one by its id. Reads one row; nothing is proven here (`proving.py`)."""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.errors import EvidenceMissing
from stella_pipelines.evidence.retention.errors import PacketPurged
from stella_pipelines.evidence.retention.tables import evidence_purged
from stella_pipelines.store.database import Transaction


class Purged(Value):
    """A packet that was purged, and the packet of the purge."""

    packet_id: str
    content: Digest
    kind: str
    stream: str
    sequence: int
    sealed_at: Instant
    purge_packet_id: str
    plan: Digest
    purged_by: str
    purged_at: Instant


def purged_packet(tx: Transaction, packet_id: str) -> Purged | None:
    """What is known of a packet that was purged; None for any other."""
    row = tx.connection.execute(sa.select(evidence_purged).where(evidence_purged.c.packet_id == packet_id)).mappings().first()
    return None if row is None else Purged(**row)


def missing(tx: Transaction, packet_id: str) -> PacketPurged | EvidenceMissing:
    """Why a packet is not there: it was purged, or never was."""
    purged = purged_packet(tx, packet_id)
    if purged is None:
        return EvidenceMissing(f"There is no evidence packet {packet_id[:80]!r}.", next_step="List the packets with 'stella evidence list'.")
    day = purged.purged_at.strftime("%Y-%m-%d")
    return PacketPurged(
        f"The packet {purged.packet_id} ({purged.kind}, no. {purged.sequence} of {purged.stream}) was purged on {day} by {purged.purged_by}"
        f" under {purged.purge_packet_id}; its digest was {purged.content}.",
        next_step=f"'stella evidence show {purged.purge_packet_id}' shows the purge; 'stella audit prove {purged.packet_id}' still proves that it was logged.",
    )
