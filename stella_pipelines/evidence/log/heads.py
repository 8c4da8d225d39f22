"""The log's name, its checkpoints, and what witnesses said of them. Append-only."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.errors import CheckpointMissing, TreeDamaged
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log.checkpoints import Checkpoint, write_checkpoint
from stella_pipelines.evidence.log.tables import log_checkpoints, log_cosignatures, log_identity
from stella_pipelines.evidence.log.tree import CompactRange
from stella_pipelines.store.database import Transaction

_ORIGIN: Final = "stella-pipelines.dev/log/"


class StoredCheckpoint(Value):
    """A checkpoint as it is stored: `note` is what was signed, and counts; the rest are copies and what the tree needs to grow."""

    size: int
    root: bytes
    note: bytes
    frontier: bytes
    at: Instant


def origin(tx: Transaction, at: datetime) -> str:
    """The log's name, which every checkpoint and every export says; made up at random when the log begins."""
    found = known_origin(tx)
    if found is None:
        found = _ORIGIN + secrets.token_hex(8)
        tx.connection.execute(sa.insert(log_identity).values(id=1, origin=found, created_at=format_instant(at)))
    return found


def known_origin(tx: Transaction) -> str | None:
    """The log's name, or None as long as nothing was taken into it."""
    return tx.connection.execute(sa.select(log_identity.c.origin)).scalar()


def add_checkpoint(tx: Transaction, name: str, tree: CompactRange, signer: SigningKey, at: datetime) -> StoredCheckpoint:
    """Sign and store the log's head as it is now."""
    root = tree.root()
    note = write_checkpoint(Checkpoint(origin=name, size=tree.size, root=root), [signer])
    tx.connection.execute(sa.insert(log_checkpoints).values(size=tree.size, root=root, note=note, frontier=tree.to_bytes(), at=format_instant(at)))
    return StoredCheckpoint(size=tree.size, root=root, note=note, frontier=tree.to_bytes(), at=at)


def newest(tx: Transaction) -> StoredCheckpoint | None:
    """The newest checkpoint, or None for an empty log."""
    return _first(tx, sa.select(log_checkpoints).order_by(log_checkpoints.c.size.desc()))


def at_or_after(tx: Transaction, size: int) -> StoredCheckpoint | None:
    """The first checkpoint that covers this many entries."""
    return _first(tx, sa.select(log_checkpoints).where(log_checkpoints.c.size >= size).order_by(log_checkpoints.c.size))


def of_size(tx: Transaction, size: int) -> StoredCheckpoint:
    """The checkpoint of exactly this size; `CheckpointMissing` when none was made there."""
    found = _first(tx, sa.select(log_checkpoints).where(log_checkpoints.c.size == size))
    if found is None:
        raise CheckpointMissing(f"The log has no checkpoint of {size} entries.", next_step="'stella audit checkpoints' lists them.")
    return found


def newest_witnessed(tx: Transaction) -> int:
    """The size of the newest checkpoint that a witness cosigned; `CheckpointMissing` when none has."""
    found = tx.connection.execute(sa.select(sa.func.max(log_cosignatures.c.size))).scalar()
    if found is None:
        raise CheckpointMissing("No checkpoint of this log was cosigned.", next_step="'stella audit witness-request' writes what a witness needs.")
    return int(found)


def page(tx: Transaction, *, limit: int, below: int | None = None) -> list[StoredCheckpoint]:
    """The newest checkpoints first, optionally only those smaller than `below`."""
    query = sa.select(log_checkpoints).order_by(log_checkpoints.c.size.desc()).limit(limit)
    found = tx.connection.execute(query if below is None else query.where(log_checkpoints.c.size < below)).mappings()
    return [_checkpoint(row) for row in found]


def cosignatures(tx: Transaction, size: int) -> list[str]:
    """The lines of the witnesses of a checkpoint, in the order of their names."""
    query = sa.select(log_cosignatures.c.line).where(log_cosignatures.c.size == size).order_by(log_cosignatures.c.witness)
    return list(tx.connection.execute(query).scalars())


def add_cosignature(tx: Transaction, size: int, witness: str, line: str, at: datetime) -> None:
    """Keep what a witness said of a checkpoint. Once is enough; a second line of the same witness conflicts."""
    tx.connection.execute(sa.insert(log_cosignatures).values(size=size, witness=witness, line=line, at=format_instant(at)))


def _first(tx: Transaction, query: sa.Select[Any]) -> StoredCheckpoint | None:
    row = tx.connection.execute(query.limit(1)).mappings().first()
    return None if row is None else _checkpoint(row)


def _checkpoint(row: Mapping[Any, Any]) -> StoredCheckpoint:
    try:
        return StoredCheckpoint(**{**row, "root": bytes(row["root"]), "note": bytes(row["note"]), "frontier": bytes(row["frontier"])})
    except (TypeError, ValueError) as error:  # SQLite keeps text where bytes must be; pydantic's ValidationError is a ValueError
        raise TreeDamaged("A stored checkpoint of the log cannot be read.", next_step="Restore the database from a backup.") from error
