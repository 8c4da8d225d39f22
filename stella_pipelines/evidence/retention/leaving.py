"""The marks on blobs that may leave. A purge marks what its packets named; a trigger takes the mark off a blob that is stored again.

The order makes this safe with others at work. A mark is committed; then every transaction that was storing blobs before has ended (`settle`);
then one look at the whole store finds who still names a marked blob (`naming.py`). Whoever comes later and wants the blob stores it, as everybody
does who names one, and that takes the mark off or puts the blob back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.evidence.retention.tables import blobs_leaving
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.tables import blobs
from stella_pipelines.store.upsert import insert

MARKS_MAX: Final = 200_000
"""Marks that are looked at in one pass over the store: some 40 MB of memory."""
_IDS_A_STATEMENT: Final = 500


def mark(tx: Transaction, hexes: Collection[str], stored_before: datetime, at: datetime) -> None:
    """Mark those of these digests that are blobs, and were stored before a time: what is younger is never taken."""
    for digests in _chunks(sorted(f"sha256:{one}" for one in hexes)):
        old = (blobs.c.digest.in_(digests), blobs.c.created_at < format_instant(stored_before))
        found = sa.select(blobs.c.digest, sa.literal(format_instant(at))).where(*old)
        tx.connection.execute(insert(tx, blobs_leaving).from_select(["digest", "at"], found).on_conflict_do_nothing(index_elements=["digest"]))


def unmark(tx: Transaction, hexes: Collection[str]) -> None:
    """Somebody needs these blobs."""
    for digests in _chunks(sorted(f"sha256:{one}" for one in hexes)):
        tx.connection.execute(sa.delete(blobs_leaving).where(blobs_leaving.c.digest.in_(digests)))


def marked(tx: Transaction, limit: int = MARKS_MAX) -> set[str]:
    """Blobs that may leave, as hex."""
    found = tx.connection.execute(sa.select(blobs_leaving.c.digest).order_by(blobs_leaving.c.digest).limit(limit)).scalars()
    return {digest.removeprefix("sha256:") for digest in found}


def settle(tx: Transaction) -> None:
    """Wait until every transaction that stored a blob before has ended. SQLite has one writer at a time anyway."""
    if tx.connection.dialect.name == "postgresql":
        tx.connection.execute(sa.text("LOCK TABLE blobs IN SHARE ROW EXCLUSIVE MODE"))


def still_marked(tx: Transaction, hexes: Collection[str]) -> list[tuple[str, str, int]]:
    """Which of them still bear the mark, with their media type and size; nobody takes it off until this transaction ends."""
    chosen = blobs_leaving.c.digest.in_([f"sha256:{one}" for one in hexes])
    held = list(tx.connection.execute(sa.select(blobs_leaving.c.digest).where(chosen).order_by(blobs_leaving.c.digest).with_for_update()).scalars())
    query = sa.select(blobs.c.digest, blobs.c.media_type, blobs.c.size_bytes).where(blobs.c.digest.in_(held)).order_by(blobs.c.digest)
    return [(row.digest, row.media_type, row.size_bytes) for row in tx.connection.execute(query)]


def _chunks(digests: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(digests), _IDS_A_STATEMENT):
        yield digests[start : start + _IDS_A_STATEMENT]
