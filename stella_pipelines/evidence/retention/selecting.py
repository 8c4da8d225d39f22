"""The old packets of the store, in one order, each as a candidate. Reads one envelope at a time: memory does not grow with the packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic import ValidationError

from stella_pipelines.core.clock import format_instant, parse_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log.tables import log_entries
from stella_pipelines.evidence.retention.candidates import Candidate, Place, digests_in
from stella_pipelines.evidence.service import packet_of
from stella_pipelines.evidence.streams import environment_of
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.store.database import Transaction

PAGE: Final = 250
"""Packets of one page, which a purge takes in one transaction: some 100 ms of SQLite's write lock."""
_ROW: Final = evidence_packets.c
_ORDER: Final = (_ROW.sealed_at, _ROW.sequence, _ROW.id)
_COLUMNS: Final = (
    _ROW.id,
    _ROW.kind,
    _ROW.stream,
    _ROW.sequence,
    _ROW.sealed_at,
    sa.func.length(_ROW.envelope).label("bytes"),
    log_entries.c.leaf_index,
    log_entries.c.content,
)


@dataclass(frozen=True)
class Old:
    """A candidate with its place, and the index of its leaf in the log."""

    place: Place
    candidate: Candidate
    leaf: int | None


def count_old(tx: Transaction, sealed_before: datetime) -> int:
    """How many packets were sealed before a time."""
    query = sa.select(sa.func.count()).select_from(evidence_packets).where(_ROW.sealed_at < format_instant(sealed_before))
    return int(tx.connection.execute(query).scalar_one())


def old_page(tx: Transaction, ring: KeyRing, sealed_before: datetime, after: Place | None, until: Place | None = None) -> Iterator[Old]:
    """The next old packets behind a place; up to another place, or as many as a page has. Each is checked before it is given."""
    query = sa.select(*_COLUMNS).select_from(evidence_packets.outerjoin(log_entries, log_entries.c.entry_id == _ROW.id))
    query = query.where(_ROW.sealed_at < format_instant(sealed_before)).order_by(*_ORDER).limit(PAGE)
    if after is not None:
        query = query.where(sa.tuple_(*_ORDER) > sa.tuple_(*after))
    if until is not None:
        query = query.where(sa.tuple_(*_ORDER) <= sa.tuple_(*until))
    for row in tx.connection.execute(query).mappings().all():
        yield Old((row["sealed_at"], row["sequence"], row["id"]), _candidate(tx, ring, row), row["leaf_index"])


def _candidate(tx: Transaction, ring: KeyRing, row: Mapping[Any, Any]) -> Candidate:
    logged = row["content"] is not None
    genuine, named, content = _looked_at(tx, ring, row) if logged else (False, frozenset(), Digest.of(b""))
    return Candidate(
        id=row["id"],
        kind=row["kind"],
        stream=row["stream"],
        environment=environment_of(row["stream"]),
        sequence=row["sequence"],
        sealed_at=parse_instant(row["sealed_at"]),
        bytes=row["bytes"],
        content=content,
        logged=logged,
        genuine=genuine,
        named=named,
    )


def _looked_at(tx: Transaction, ring: KeyRing, row: Mapping[Any, Any]) -> tuple[bool, frozenset[str], Digest]:
    """Whether the stored packet is what was sealed and logged, and by its row no older than it is; and what it names."""
    stored = tx.connection.execute(sa.select(evidence_packets).where(_ROW.id == row["id"])).mappings().one()
    try:
        packet = packet_of(stored)
        verified = verify_packet(packet.envelope, ring, log_index=row["leaf_index"])
        named = digests_in(read_envelope(packet.envelope).payload)
    except (StellaError, ValidationError):
        return False, frozenset(), Digest.of(b"")
    seal = verified.seal
    sealed = (seal.packet_id, verified.kind, seal.stream, seal.sequence, format_instant(seal.sealed_at), verified.packet_digest)
    shown = (row["id"], row["kind"], row["stream"], row["sequence"], row["sealed_at"], row["content"])
    return sealed == shown, named, packet.digest
