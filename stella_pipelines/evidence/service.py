"""Sealing and finding packets. A packet is signed and inserted in the caller's transaction: the fact and its evidence happen together.

The row of the stream's head is locked first, so packets of one stream get dense numbers in the order of their commits. Whether a
clock that went back stops the sealing or is noted in the packet says `lateness.py`; whether a stored packet is genuine says `stored.py`.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.clock import Instant, as_utc, format_instant, parse_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.errors import ClockWentBack, PredicateInvalid, StoredPacketDamaged
from stella_pipelines.evidence.keys.book import key_in_force, keys_of
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.lateness import CLOCK_KEY, ClockNote, late_clock_of, lateness
from stella_pipelines.evidence.retention.purged import missing
from stella_pipelines.evidence.statement import Kind, Seal, Subject, make_statement
from stella_pipelines.evidence.streams import environment_of, stream_of
from stella_pipelines.evidence.tables import evidence_heads, evidence_packets, evidence_subjects
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.upsert import insert_into

_PACKET: Final = sa.insert(evidence_packets)
_SUBJECT: Final = sa.insert(evidence_subjects)


class SealedPacket(Value):
    """A packet as it is stored. Its `digest` is that of the envelope's bytes."""

    id: str
    kind: Kind
    stream: str
    sequence: int
    digest: Digest
    key_id: str
    sealed_at: Instant
    envelope: bytes

    @property
    def environment(self) -> str | None:
        """The environment that the packet is about, if it is about one."""
        return environment_of(self.stream)


class Evidence:
    """The one writer of packets in an installation."""

    def __init__(self, signer: SigningKey) -> None:
        self._signer = signer

    @property
    def public_pem(self) -> bytes:
        """The key that verifies what this installation seals."""
        return self._signer.public_pem

    def keys(self, tx: Transaction) -> KeyRing:
        """The keys that verify what was ever sealed here. Who verifies many packets asks once."""
        return keys_of(tx, self._signer)

    def seal(
        self,
        tx: Transaction,
        *,
        packet_id: str,
        kind: Kind,
        stream: str,
        subjects: Sequence[Subject],
        predicate: Mapping[str, object],
        at: datetime,
    ) -> SealedPacket:
        """Sign and store a packet. The predicate needs `inputs`; its `seal` is added here (`Statement.claim()` takes it off again).

        A clock far behind the newest packet refuses a decision (`ClockWentBack`); the end of a deployment is sealed and says so in `clock`.
        """
        signer = key_in_force(tx, self._signer, as_utc(at))
        sequence, newest = _next_in_line(tx, stream, as_utc(at))
        late = lateness(newest, as_utc(at))
        if late is not None and late_clock_of(kind) == "refuse":
            raise _clock_went_back(stream, newest, at)
        seal = Seal(packet_id=packet_id, stream=stream, sequence=sequence, sealed_at=at)
        envelope = write_envelope(make_statement(kind, subjects, _with_clock(predicate, late), seal).canonical(), signer)
        packet = SealedPacket(
            id=packet_id,
            kind=kind,
            stream=stream,
            sequence=sequence,
            digest=Digest.of(envelope),
            key_id=signer.key_id,
            sealed_at=at,
            envelope=envelope,
        )
        _insert(tx, packet, subjects)
        return packet

    def get(self, tx: Transaction, packet_id: str) -> SealedPacket:
        """One packet by its id; `PacketPurged` or `EvidenceMissing` when it is not there."""
        row = tx.connection.execute(sa.select(evidence_packets).where(evidence_packets.c.id == packet_id)).mappings().first()
        if row is None:
            raise missing(tx, packet_id)
        return packet_of(row)

    def subjects(self, tx: Transaction, packet_id: str) -> builtins.list[tuple[str, str]]:
        """What a packet is about as the rows for searching say it: names and digests, in their order."""
        columns = sa.select(evidence_subjects.c.name, evidence_subjects.c.digest)
        query = columns.where(evidence_subjects.c.packet_id == packet_id).order_by(evidence_subjects.c.position)
        return [(row.name, row.digest) for row in tx.connection.execute(query)]

    def after(self, tx: Transaction, stream: str, sequence: int, limit: int) -> builtins.list[SealedPacket]:
        """The packets of a stream that follow this number, up to the first damaged one; `StoredPacketDamaged` when that is the very next."""
        mine = (evidence_packets.c.stream == stream) & (evidence_packets.c.sequence > sequence)
        query = sa.select(evidence_packets).where(mine).order_by(evidence_packets.c.sequence).limit(limit)
        found: builtins.list[SealedPacket] = []
        for row in tx.connection.execute(query).mappings().all():
            try:
                found.append(packet_of(row))
            except StoredPacketDamaged:
                if not found:
                    raise
                break
        return found

    def list(
        self, tx: Transaction, *, environment: str | None = None, kind: str | None = None, subject: Digest | None = None, limit: int = 50
    ) -> builtins.list[SealedPacket]:
        """The newest packets first, optionally of one environment's stream, one kind, or about one subject. For pages of them see `listing.py`."""
        newest_first = (evidence_packets.c.sealed_at.desc(), evidence_packets.c.sequence.desc(), evidence_packets.c.id.desc())
        query = sa.select(evidence_packets).order_by(*(newest_first if environment is None else newest_first[1:2])).limit(limit)
        if environment is not None:
            query = query.where(evidence_packets.c.stream == stream_of(environment, kind))
        if kind is not None:
            query = query.where(evidence_packets.c.kind == kind)
        if subject is not None:
            query = query.where(evidence_packets.c.id.in_(sa.select(evidence_subjects.c.packet_id).where(evidence_subjects.c.digest == subject)))
        return [packet_of(row) for row in tx.connection.execute(query).mappings()]


def _next_in_line(tx: Transaction, stream: str, at: datetime) -> tuple[int, datetime]:
    """Lock the stream's head and count it up: the number, and the newest time before. Another sealer waits here until our commit."""
    head = tx.connection.execute(_counting(tx.connection.dialect.name), {"of": stream, "now": format_instant(at)}).one()
    return int(head.sequence), parse_instant(head.newest_before)


@functools.cache
def _counting(dialect: str) -> sa.Executable:
    """The statement that counts a stream up. Made once for each database: making it takes longer than running it."""
    now: sa.BindParameter[str] = sa.bindparam("now")
    known = evidence_heads.c.newest_at
    first = insert_into(dialect, evidence_heads).values(stream=sa.bindparam("of"), sequence=1, newest_at=now, newest_before=now)
    newer = {"sequence": evidence_heads.c.sequence + 1, "newest_before": known, "newest_at": sa.case((known < now, now), else_=known)}
    counted = first.on_conflict_do_update(index_elements=["stream"], set_=newer)
    return counted.returning(evidence_heads.c.sequence, evidence_heads.c.newest_before)


def _with_clock(predicate: Mapping[str, object], late: ClockNote | None) -> Mapping[str, object]:
    if CLOCK_KEY in predicate:
        raise PredicateInvalid(f"{CLOCK_KEY!r} in a predicate is written by the sealing itself.", next_step="This is a mistake in the calling code.")
    return predicate if late is None else {**predicate, CLOCK_KEY: late.document()}


def _clock_went_back(stream: str, newest: datetime, at: datetime) -> ClockWentBack:
    return ClockWentBack(
        f"It is {format_instant(at)} here, but {environment_of(stream) or stream} has evidence of {format_instant(newest)}.",
        next_step="Set this machine's clock (NTP), then try again; if the older packet is the wrong one, wait until its time has passed.",
    )


def _insert(tx: Transaction, packet: SealedPacket, subjects: Sequence[Subject]) -> None:
    row = packet.model_dump(mode="python") | {"sealed_at": format_instant(packet.sealed_at)}
    tx.connection.execute(_PACKET, row)
    rows = [{"packet_id": packet.id, "position": number, "name": one.name, "digest": one.digest} for number, one in enumerate(subjects)]
    tx.connection.execute(_SUBJECT, rows)


def packet_of(row: Mapping[Any, Any]) -> SealedPacket:
    """A stored row as a packet, its bytes proven to be those that were sealed."""
    packet = SealedPacket(**{**row, "envelope": bytes(row["envelope"])})
    if not packet.digest.matches(packet.envelope):
        raise StoredPacketDamaged(
            f"The stored packet {packet.id} holds other bytes than were sealed.", next_step="Restore the database from a backup and keep this copy."
        )
    return packet
