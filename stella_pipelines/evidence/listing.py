"""Sealed packets page by page, for people and for programs that read all of them. Each page costs the same, however many packets there are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from stella_pipelines.evidence.errors import EvidenceMissing
from stella_pipelines.evidence.retention.purged import missing, purged_packet
from stella_pipelines.evidence.service import SealedPacket, packet_of
from stella_pipelines.evidence.streams import stream_of
from stella_pipelines.evidence.tables import evidence_heads, evidence_packets
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.pages import read_page

_BY_TIME = (evidence_packets.c.sealed_at, evidence_packets.c.sequence, evidence_packets.c.id)
_BY_SEQUENCE = (evidence_packets.c.sequence,)
"""Within one stream the sequence says the order, whatever the clocks said."""


def page(
    tx: Transaction, *, environment: str | None = None, kind: str | None = None, limit: int = 50, before: str | None = None
) -> tuple[list[SealedPacket], int]:
    """The newest packets first, optionally only those older than the packet `before`; and how many older ones follow (`store/pages.py`)."""
    order = _BY_TIME if environment is None else _BY_SEQUENCE
    stream = None if environment is None else stream_of(environment, kind)
    query = sa.select(evidence_packets).order_by(*(column.desc() for column in order))
    if stream is not None:
        query = query.where(evidence_packets.c.stream == stream)
    if kind is not None:
        query = query.where(evidence_packets.c.kind == kind)
    if before is not None:
        query = query.where(sa.tuple_(*order) < sa.tuple_(*_place(tx, order, before, stream)))
    rows, older = read_page(tx, query, limit)
    return [packet_of(row) for row in rows], older


def newest_sequences(tx: Transaction) -> dict[str, int]:
    """The number of each stream's newest packet."""
    heads = tx.connection.execute(sa.select(evidence_heads.c.stream, evidence_heads.c.sequence))
    return {row.stream: int(row.sequence) for row in heads}


def _place(tx: Transaction, order: tuple[sa.Column[Any], ...], packet_id: str, stream: str | None) -> tuple[Any, ...]:
    query = sa.select(*order).where(evidence_packets.c.id == packet_id)
    found = tx.connection.execute(query if stream is None else query.where(evidence_packets.c.stream == stream)).one_or_none()
    if found is None and purged_packet(tx, packet_id) is not None:
        raise missing(tx, packet_id)
    if found is None:
        where = f" in {stream}" if stream else ""
        raise EvidenceMissing(f"There is no evidence packet {packet_id[:80]!r}{where}.", next_step="List the packets with 'stella evidence list'.")
    return tuple(found)
