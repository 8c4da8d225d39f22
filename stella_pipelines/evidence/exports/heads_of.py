"""What an export says of its log: the key history, the checkpoint with its witnesses, and proofs from older checkpoints. Added to a draft first."""

from __future__ import annotations

import json
from collections.abc import Iterator

import sqlalchemy as sa

from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.errors import CheckpointConflicts
from stella_pipelines.evidence.exports.comparing import PROOFS_MAX, kept_checkpoint, write_proofs
from stella_pipelines.evidence.exports.draft import Draft
from stella_pipelines.evidence.exports.manifest import CHECKPOINT, CONSISTENCY, KEYS
from stella_pipelines.evidence.frames.reading import count, inside
from stella_pipelines.evidence.keys.book import history_of
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.checkpoints import add_cosignatures
from stella_pipelines.evidence.log.proving import stored_tree
from stella_pipelines.evidence.log.tables import log_entries
from stella_pipelines.evidence.streams import EXPORTS
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.store.database import Store, Transaction


def head_members(draft: Draft, store: Store, older: bytes | None) -> None:
    """Add the three members; a draft that goes on keeps those that it has."""
    with store.reading() as tx:
        size = draft.beginning.size
        head = heads.of_size(tx, size)
        lines = "".join(heads.cosignatures(tx, size))
        draft.add(KEYS, history_of(tx).canonical)
        draft.add(CHECKPOINT, lambda: add_cosignatures(head.note, lines) if lines else head.note)
        draft.add(CONSISTENCY, lambda: _proofs(tx, size, older))


def _proofs(tx: Transaction, size: int, older: bytes | None) -> bytes:
    sizes = set(_sizes_of_exports(tx, size))
    if older is not None:
        kept = kept_checkpoint(older, history_of(tx).ring())
        if not 0 <= kept.size <= size:
            raise CheckpointConflicts(
                f"The given checkpoint has {kept.size} entries, and this log has {size}.", next_step="Keep it, and find out what happened to this database."
            )
        sizes |= {kept.size} - {0}
    tree = stored_tree(tx)
    return write_proofs({one: tree.consistency_proof(one, size) for one in sorted(sizes)})


def _sizes_of_exports(tx: Transaction, size: int) -> Iterator[int]:
    """The logs of the newest exports before: an auditor has one of them, most likely."""
    rows = log_entries.join(evidence_packets, evidence_packets.c.id == log_entries.c.entry_id)
    mine = (log_entries.c.stream == EXPORTS, log_entries.c.leaf_index < size, evidence_packets.c.kind == "audit-export")
    query = sa.select(evidence_packets.c.envelope).select_from(rows).where(*mine).order_by(log_entries.c.sequence.desc()).limit(PROOFS_MAX - 1)
    for envelope in tx.connection.execute(query).scalars():
        log = inside(json.loads(read_envelope(bytes(envelope)).payload), "predicate", "export", "log")
        found = count(log, "size")
        if found is not None and 0 < found <= size:
            yield found
