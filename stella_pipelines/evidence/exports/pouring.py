"""Pours the selected entries of the log into a draft, chunk by chunk: lines, and beside them the proof. Each chunk is one reading of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from stella_pipelines.evidence.audit import entry_of as audit_entry_of
from stella_pipelines.evidence.errors import StoredPacketDamaged
from stella_pipelines.evidence.exports.chunks import BYTES_AIM, ENTRIES_MAX
from stella_pipelines.evidence.exports.draft import Draft
from stella_pipelines.evidence.exports.manifest import ChunkKind, chunk_name, proof_name
from stella_pipelines.evidence.exports.multiproof import hashes_for, write_proof
from stella_pipelines.evidence.exports.selecting import Selection
from stella_pipelines.evidence.log.entries import LogEntry
from stella_pipelines.evidence.log.proving import entry_of, stored_tree
from stella_pipelines.evidence.log.tables import log_entries
from stella_pipelines.evidence.retention.tables import evidence_purged
from stella_pipelines.evidence.tables import audit_entries, evidence_packets
from stella_pipelines.store.database import Store, Transaction

_IDS_A_STATEMENT = 500
Contents = Mapping[str, bytes]


class Pouring:
    """Writes the entries of one export."""

    def __init__(self, store: Store, draft: Draft, progress: Callable[[int], None]) -> None:
        self._store = store
        self._draft = draft
        self._progress = progress
        self._done = 0

    def pour(self, selection: Selection) -> None:
        """All entries, kind by kind."""
        tail = range(selection.tail_from, self._draft.beginning.size) if selection.tail_from is not None else range(0)
        self._kind("packets", selection.packets, _envelopes)
        self._kind("audit", selection.audit, _audit_lines)
        self._kind("purged", selection.purged, _purged_leaves)
        self._kind("tail", tail, _leaves)

    def _kind(self, kind: ChunkKind, indexes: Sequence[int], contents: Callable[[Transaction, Sequence[LogEntry]], Contents]) -> None:
        for number, chunk in enumerate(self._cut(kind, indexes), start=1):
            name = chunk_name(kind, number)
            if proof_name(name) not in self._draft.entries:
                self._chunk(name, chunk, contents)
            self._done += len(chunk)
            self._progress(self._done)

    def _chunk(self, name: str, indexes: Sequence[int], contents: Callable[[Transaction, Sequence[LogEntry]], Contents]) -> None:
        with self._store.reading() as tx:
            entries = _entries(tx, indexes)
            found = contents(tx, entries)
            hashes = hashes_for(indexes, self._draft.beginning.size, stored_tree(tx))
        if len(found) != len(entries):
            raise StoredPacketDamaged(
                f"Of the entries in the log from {indexes[0]} to {indexes[-1]}, some are not stored any more, and no purge names them.",
                next_step="'stella audit verify' says which. If they were purged just now, begin anew with --restart.",
            )
        lines = b"".join(found[entry.id] + b"\n" for entry in entries)
        self._draft.add(name, lambda: lines)
        proof = write_proof(indexes, [entry.sequence for entry in entries], hashes)
        self._draft.add(proof_name(name), lambda: proof)

    def _cut(self, kind: ChunkKind, indexes: Sequence[int]) -> Iterator[Sequence[int]]:
        """The indexes of each chunk: at most so many entries, and not much more than so many bytes. The same in every run."""
        for start in range(0, len(indexes), ENTRIES_MAX):
            page = list(indexes[start : start + ENTRIES_MAX])
            if kind != "packets":
                yield page
                continue
            with self._store.reading() as tx:
                sizes = _sizes(tx, page)
            chunk: list[int] = []
            size = 0
            for index in page:
                if chunk and size + sizes[index] > BYTES_AIM:
                    yield chunk
                    chunk, size = [], 0
                chunk.append(index)
                size += sizes[index]
            yield chunk


def _sizes(tx: Transaction, indexes: Sequence[int]) -> dict[int, int]:
    rows = log_entries.join(evidence_packets, evidence_packets.c.id == log_entries.c.entry_id)
    columns = sa.select(log_entries.c.leaf_index, sa.func.length(evidence_packets.c.envelope)).select_from(rows)
    found: dict[int, int] = {}
    for start in range(0, len(indexes), _IDS_A_STATEMENT):
        page = tx.connection.execute(columns.where(log_entries.c.leaf_index.in_(indexes[start : start + _IDS_A_STATEMENT])))
        found |= {row[0]: row[1] for row in page}
    return found


def _entries(tx: Transaction, indexes: Sequence[int]) -> list[LogEntry]:
    found: list[LogEntry] = []
    for start in range(0, len(indexes), _IDS_A_STATEMENT):
        query = sa.select(log_entries).where(log_entries.c.leaf_index.in_(indexes[start : start + _IDS_A_STATEMENT]))
        found += [entry_of(row) for row in tx.connection.execute(query.order_by(log_entries.c.leaf_index)).mappings()]
    return found


def _envelopes(tx: Transaction, entries: Sequence[LogEntry]) -> Contents:
    return {row["id"]: bytes(row["envelope"]) for row in _by_id(tx, evidence_packets, entries, evidence_packets.c.id, evidence_packets.c.envelope)}


def _audit_lines(tx: Transaction, entries: Sequence[LogEntry]) -> Contents:
    return {row["id"]: audit_entry_of(row).canonical() for row in _by_id(tx, audit_entries, entries, audit_entries)}


def _leaves(tx: Transaction, entries: Sequence[LogEntry]) -> Contents:
    """Leaves alone need no other table."""
    del tx
    return {entry.id: entry.leaf_data() for entry in entries}


def _purged_leaves(tx: Transaction, entries: Sequence[LogEntry]) -> Contents:
    """The leaves of packets that a sealed purge took; what is simply not there is missing."""
    purged = {row["packet_id"] for row in _by_id(tx, evidence_purged, entries, evidence_purged.c.packet_id)}
    return {entry.id: entry.leaf_data() for entry in entries if entry.id in purged}


def _by_id(tx: Transaction, table: sa.Table, entries: Sequence[LogEntry], *columns: Any) -> Iterator[Mapping[Any, Any]]:
    ids, column = [entry.id for entry in entries], table.c.packet_id if table is evidence_purged else table.c.id
    for start in range(0, len(ids), _IDS_A_STATEMENT):
        yield from tx.connection.execute(sa.select(*columns).where(column.in_(ids[start : start + _IDS_A_STATEMENT]))).mappings()
