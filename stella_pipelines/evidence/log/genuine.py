"""Whether a checkpoint that is stored here, or was given from outside, is one that this log signed. Stored rows are copies and claims; notes are signed.

Whoever takes something into the log, or names a size that is trusted from now on, goes by the newest checkpoint. Somebody who can add rows, and has no
key, could put one there, and have the next signature vouch for a tree of his own. So the note's signature is checked first, and the rest against it.
"""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.errors import TreeDamaged
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.checkpoints import VerifiedCheckpoint, read_checkpoint
from stella_pipelines.evidence.log.heads import StoredCheckpoint
from stella_pipelines.evidence.log.note_keys import NoteKey, log_key
from stella_pipelines.evidence.log.tables import log_entries
from stella_pipelines.evidence.log.tree import CompactRange
from stella_pipelines.store.database import Transaction


def log_keys(origin: str, ring: KeyRing) -> list[NoteKey]:
    """The keys of a ring under a log's name, as checkpoints know them."""
    return [log_key(origin, key.pem) for key in ring.keys.values()]


def verified_checkpoint(note: bytes, origin: str, ring: KeyRing) -> VerifiedCheckpoint:
    """The checkpoint, if it is one of this log, signed by a key of the ring that was not revoked before."""
    verified = read_checkpoint(note, origin=origin, log_keys=log_keys(origin, ring))
    for key_id in verified.log_key_ids:
        ring.require(key_id, log_index=verified.checkpoint.size - 1)
    return verified


def require_signed(tx: Transaction, head: StoredCheckpoint, ring: KeyRing) -> None:
    """Nothing, if this log signed the stored checkpoint, and the row says what was signed; `TreeDamaged` otherwise."""
    try:
        signed = verified_checkpoint(head.note, heads.known_origin(tx) or "", ring).checkpoint
    except StellaError as error:
        raise _damaged(f"The stored checkpoint of {head.size} entries is none that this log signed: {error.what}") from error
    if (signed.size, signed.root) != (head.size, head.root):
        raise _damaged(f"The stored checkpoint of {head.size} entries is one of {signed.size} entries, or with another root.")


def genuine_tree(tx: Transaction, ring: KeyRing) -> CompactRange:
    """The log's tree as of its newest checkpoint, which the log signed; `TreeDamaged` otherwise."""
    head = heads.newest(tx)
    if head is None:
        return CompactRange.empty()
    require_signed(tx, head, ring)
    tree = CompactRange.from_bytes(head.frontier)
    if (tree.size, tree.root()) != (head.size, head.root):
        raise _damaged(f"The stored end of the log, of {tree.size} entries, is not what its checkpoint of {head.size} entries says.")
    behind = tx.connection.execute(sa.select(log_entries.c.leaf_index).where(log_entries.c.leaf_index >= tree.size).limit(1)).scalar()
    if behind is not None:
        raise _damaged(f"The log ends at {tree.size}, and a row of an entry {behind} is stored behind that.")
    return tree


def _damaged(what: str) -> TreeDamaged:
    return TreeDamaged(what, next_step="Restore the database from a backup, and find out who changed it.")
