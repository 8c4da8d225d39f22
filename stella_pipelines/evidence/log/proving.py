"""Entries and proofs from the stored log. What is proven by them is checked elsewhere, by whoever asked (`evidence/merkle.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.errors import LogEntryMissing
from stella_pipelines.evidence.log.entries import LogEntry
from stella_pipelines.evidence.log.tables import log_entries, log_nodes
from stella_pipelines.evidence.log.tree import StoredTree
from stella_pipelines.store.database import Transaction

PAGE: Final = 1_000
"""Entries that are read at once."""


def stored_tree(tx: Transaction) -> StoredTree:
    """What makes proofs, as of this transaction. It keeps the hashes that it read last: use one for many proofs."""

    def read(level: int, start: int, stop: int) -> list[bytes]:
        if level == 0:
            query = sa.select(log_entries.c.leaf_hash).where(log_entries.c.leaf_index >= start, log_entries.c.leaf_index < stop)
            return _hashes(tx, query.order_by(log_entries.c.leaf_index))
        node = log_nodes.c
        query = sa.select(node.hash).where(node.level == level, node.node_index >= start, node.node_index < stop)
        return _hashes(tx, query.order_by(node.node_index))

    return StoredTree(read)


def entry_with_id(tx: Transaction, entry_id: str) -> LogEntry:
    """The entry of a packet or of an audit entry; `LogEntryMissing` when the log does not have it (yet)."""
    row = tx.connection.execute(sa.select(log_entries).where(log_entries.c.entry_id == entry_id)).mappings().first()
    if row is None:
        raise LogEntryMissing(f"The log has no entry {entry_id[:80]!r}.", next_step="Check the id; what was written just now is taken in within a second.")
    return entry_of(row)


def entries_between(tx: Transaction, start: int, stop: int, page: int = PAGE) -> Iterator[list[tuple[LogEntry, bytes]]]:
    """The entries from index `start` to before `stop`, with their stored leaf hashes, in pages: memory stays bounded."""
    while start < stop:
        query = sa.select(log_entries).where(log_entries.c.leaf_index >= start, log_entries.c.leaf_index < stop)
        rows = tx.connection.execute(query.order_by(log_entries.c.leaf_index).limit(page)).mappings().all()
        if not rows:
            return
        yield [(entry_of(row), bytes(row["leaf_hash"])) for row in rows]
        start = rows[-1]["leaf_index"] + 1


def entry_of(row: Mapping[Any, Any]) -> LogEntry:
    """A stored row as an entry."""
    return LogEntry(
        index=row["leaf_index"],
        kind=row["kind"],
        id=row["entry_id"],
        stream=row["stream"],
        sequence=row["sequence"],
        content=Digest(row["content"]),
    )


def _hashes(tx: Transaction, query: sa.Select[Any]) -> list[bytes]:
    return [bytes(found) for found in tx.connection.execute(query).scalars()]
