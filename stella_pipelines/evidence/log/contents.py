"""Whether what the log has entries for is still stored, and says what was logged. Reads the packets and audit entries of one page of the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, get_args

import sqlalchemy as sa
from pydantic import ValidationError

from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.audit import entry_of as audit_entry_of
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log.entries import EntryKind, LogEntry
from stella_pipelines.evidence.service import packet_of
from stella_pipelines.evidence.stored import differences
from stella_pipelines.evidence.tables import audit_entries, evidence_packets, evidence_subjects
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.store.database import Transaction

IsPurged = Callable[[Transaction, Collection[str]], set[str]]
"""Which of these packets were purged by a sealed purge: their bytes may be gone, their leaves may not."""
_IDS_A_STATEMENT = 500


class Contents:
    """Checks pages of entries against the tables of packets and of the audit trail."""

    def __init__(self, tx: Transaction, ring: KeyRing, is_purged: IsPurged) -> None:
        self._tx = tx
        self._ring = ring
        self._is_purged = is_purged
        self.purged = 0

    def problems(self, entries: Sequence[LogEntry]) -> Iterator[str]:
        """What is missing, or is not what was logged, in words."""
        packets = [entry for entry in entries if entry.kind == "packet"]
        audits = [entry for entry in entries if entry.kind == "audit"]
        for start in range(0, len(packets), _IDS_A_STATEMENT):
            yield from self._of_packets(packets[start : start + _IDS_A_STATEMENT])
        for start in range(0, len(audits), _IDS_A_STATEMENT):
            yield from self._of_audits(audits[start : start + _IDS_A_STATEMENT])
        if len(packets) + len(audits) < len(entries):
            yield from (f"entry {entry.index} ({entry.id}) is of no kind that is logged" for entry in entries if entry.kind not in get_args(EntryKind))

    def _of_packets(self, entries: Sequence[LogEntry]) -> Iterator[str]:
        query = sa.select(evidence_packets).where(evidence_packets.c.id.in_([entry.id for entry in entries]))
        rows = {row["id"]: row for row in self._tx.connection.execute(query).mappings()}
        missing = [entry.id for entry in entries if entry.id not in rows]
        purged = self._is_purged(self._tx, missing) if missing else set()
        self.purged += len(purged)
        subjects = self._subjects(list(rows))
        for entry in entries:
            if entry.id in rows:
                yield from self._of_packet(entry, rows[entry.id], subjects[entry.id])
            elif entry.id not in purged:
                yield f"packet {entry.id} was logged and is not stored any more"

    def _of_packet(self, entry: LogEntry, row: Mapping[Any, Any], subjects: Sequence[tuple[str, str]]) -> Iterator[str]:
        """The signature, then the log, then the rows for searching: a packet that no search shows is as good as gone."""
        try:
            packet = packet_of(row)
            verified = verify_packet(packet.envelope, self._ring, log_index=entry.index)
        except (StellaError, ValidationError) as error:
            yield f"packet {entry.id}: {error}"
            return
        seal = verified.seal
        if (packet.digest, seal.packet_id, seal.stream, seal.sequence) != (entry.content, entry.id, entry.stream, entry.sequence):
            yield f"packet {entry.id} is stored with other contents than were logged"
            return
        yield from (f"packet {entry.id} is found under something else than was sealed: {what}" for what in differences(packet, subjects, verified))

    def _subjects(self, packet_ids: Sequence[str]) -> Mapping[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        subject = evidence_subjects.c
        query = sa.select(subject.packet_id, subject.name, subject.digest).where(subject.packet_id.in_(packet_ids))
        for packet_id, name, digest in self._tx.connection.execute(query.order_by(subject.packet_id, subject.position)):
            found[packet_id].append((name, digest))
        return found

    def _of_audits(self, entries: Sequence[LogEntry]) -> Iterator[str]:
        query = sa.select(audit_entries).where(audit_entries.c.id.in_([entry.id for entry in entries]))
        rows = {row["id"]: row for row in self._tx.connection.execute(query).mappings()}
        for entry in entries:
            if entry.id not in rows:
                yield f"audit entry {entry.id} was logged and is not stored any more"
                continue
            try:
                found = audit_entry_of(rows[entry.id]).content_digest()
            except (StellaError, ValidationError):
                found = None
            if found != entry.content:
                yield f"audit entry {entry.id} is stored with other contents than were logged"
