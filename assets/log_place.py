"""Where a packet stands in the log, as its event says it. Reads; what was written a moment ago has no place yet."""

from __future__ import annotations

from stella_pipelines.core.values import Value
from stella_pipelines.evidence.errors import LogEntryMissing
from stella_pipelines.evidence.log.heads import at_or_after
from stella_pipelines.evidence.log.proving import entry_with_id
from stella_pipelines.store.database import Transaction


class LogPlace(Value):
    """The packet's leaf, and the size of the first checkpoint that covers it."""

    index: int
    checkpoint_size: int


def log_place(tx: Transaction, packet_id: str) -> LogPlace | None:
    """A packet's place; None as long as the log has not taken it in."""
    try:
        entry = entry_with_id(tx, packet_id)
    except LogEntryMissing:
        return None
    checkpoint = at_or_after(tx, entry.index + 1)
    return None if checkpoint is None else LogPlace(index=entry.index, checkpoint_size=checkpoint.size)
