"""Takes waiting notes into the log: entries, the nodes that they complete, and a signed checkpoint, all in one transaction.

Whoever comes first does it, the submitter twice a second and any command that needs the log. Two at once wait for each other, on PostgreSQL at
an advisory lock and on SQLite at the write lock, so that the log is one line. The cost does not depend on the log's size: the newest
checkpoint has all that the tree needs to grow. Its signature is checked before anything is built on it.

Packets have their number in their stream from their seal. Audit entries get theirs here, so that writers need not wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.keys.book import key_in_force, keys_of
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log.entries import LogEntry
from stella_pipelines.evidence.log.genuine import genuine_tree
from stella_pipelines.evidence.log.heads import StoredCheckpoint, add_checkpoint, origin
from stella_pipelines.evidence.log.tables import log_entries, log_nodes, log_pending
from stella_pipelines.evidence.streams import AUDIT
from stella_pipelines.store.database import Store, Transaction

BATCH_MAX: Final = 2_000
"""Entries of one transaction: it holds SQLite's write lock for some 50 ms."""
_IDS_A_STATEMENT: Final = 500
_ADVISORY_LOCK: Final = 0x57E110


def integrate(tx: Transaction, signer: SigningKey, at: datetime, limit: int) -> StoredCheckpoint | None:
    """Take the next waiting entries into the log; the new checkpoint, or None when nothing waits."""
    if tx.connection.dialect.name == "postgresql":
        tx.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    rows = tx.connection.execute(sa.select(log_pending).order_by(log_pending.c.position).limit(limit)).mappings().all()
    if not rows:
        return None
    in_force = key_in_force(tx, signer, at)
    tree = genuine_tree(tx, keys_of(tx, in_force))
    entries = _numbered(rows, tree.size, _audit_entries(tx))
    hashes = [entry.leaf_hash() for entry in entries]
    grown, nodes = tree.append(hashes)
    tx.connection.execute(sa.insert(log_entries), [_row(*pair) for pair in zip(entries, hashes, strict=True)])
    if nodes:
        tx.connection.execute(sa.insert(log_nodes), [{"level": node.level, "node_index": node.index, "hash": node.hash} for node in nodes])
    _forget(tx, [row["position"] for row in rows])
    return add_checkpoint(tx, origin(tx, at), grown, in_force, at)


def is_waiting(store: Store) -> bool:
    """Whether anything was written that the log does not have yet."""
    with store.reading() as tx:
        return tx.connection.execute(sa.select(log_pending.c.position).limit(1)).first() is not None


def _audit_entries(tx: Transaction) -> int:
    """How many audit entries the log has: the number of the last one."""
    return tx.connection.execute(sa.select(sa.func.max(log_entries.c.sequence)).where(log_entries.c.stream == AUDIT)).scalar() or 0


def _numbered(rows: Sequence[Any], size: int, audit_entries: int) -> list[LogEntry]:
    entries = []
    for index, row in enumerate(rows, start=size):
        sequence = row["sequence"]
        if sequence is None:
            audit_entries += 1
            sequence = audit_entries
        entries.append(LogEntry(index=index, kind=row["kind"], id=row["entry_id"], stream=row["stream"], sequence=sequence, content=Digest(row["content"])))
    return entries


def _row(entry: LogEntry, leaf_hash: bytes) -> dict[str, Any]:
    return {
        "leaf_index": entry.index,
        "kind": entry.kind,
        "entry_id": entry.id,
        "stream": entry.stream,
        "sequence": entry.sequence,
        "content": entry.content,
        "leaf_hash": leaf_hash,
    }


def _forget(tx: Transaction, positions: list[int]) -> None:
    """Exactly those that were read: one that was written earlier may become visible only now."""
    for start in range(0, len(positions), _IDS_A_STATEMENT):
        tx.connection.execute(sa.delete(log_pending).where(log_pending.c.position.in_(positions[start : start + _IDS_A_STATEMENT])))
