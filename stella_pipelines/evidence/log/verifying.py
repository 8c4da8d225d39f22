"""Proves that nothing is missing, reordered or altered between two checkpoints, by reading the stored log once, in bounded memory.

What is compared: each entry with its leaf hash; all leaf hashes with the checkpoint's root; each stream's numbers with the natural ones; each
packet and audit entry with what was logged of it, and with its signature; and the other way round: every stored packet and entry with the log.
The older checkpoint may come from outside, kept by whoever does not trust this database: a history that was written anew does not lead from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Final, Protocol

import sqlalchemy as sa

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log.contents import Contents
from stella_pipelines.evidence.log.entries import LogEntry
from stella_pipelines.evidence.log.nodes_stored import nodes_behind, wrong_nodes
from stella_pipelines.evidence.log.proving import entries_between, stored_tree
from stella_pipelines.evidence.log.streams_in_order import StreamsInOrder
from stella_pipelines.evidence.log.tables import log_entries, log_pending
from stella_pipelines.evidence.log.tree import CompactRange, Node
from stella_pipelines.evidence.tables import audit_entries, evidence_heads, evidence_packets
from stella_pipelines.store.database import Transaction

PROBLEMS_MAX: Final = 100
"""Problems that are told in words; the rest are counted."""


class Head(Value):
    """The size and the root of a checkpoint whose signatures somebody has checked."""

    size: int
    root: bytes


class LogReport(Value):
    """What a verification found. Nothing is wrong if there is no problem."""

    first: int
    """The index at which it began: the older checkpoint's size."""
    size: int
    """The newer checkpoint's size."""
    root: str
    """The newer checkpoint's root, in hex."""
    packets: int
    audit_entries: int
    purged: int
    """Packets whose bytes were purged; their leaves are in the tree."""
    streams: dict[str, int]
    """By stream the last number that was seen."""
    problems: tuple[str, ...]
    problem_count: int


class _Found:
    def __init__(self) -> None:
        self.count = 0
        self.told: list[str] = []

    def add(self, problem: str) -> None:
        self.count += 1
        if len(self.told) < PROBLEMS_MAX:
            self.told.append(problem)


class Purges(Protocol):
    """What answers for purged packets (`retention/proving.py`)."""

    def __call__(self, tx: Transaction, packet_ids: Collection[str]) -> set[str]:
        """The `IsPurged` port."""
        ...

    def problems(self, tx: Transaction) -> Iterator[str]:
        """What is wrong with what is said of purges, in words."""
        ...


class _NonePurged:
    def __call__(self, tx: Transaction, packet_ids: Collection[str]) -> set[str]:
        del tx, packet_ids
        return set()

    def problems(self, tx: Transaction) -> Iterator[str]:
        del tx
        return iter(())


def verify_log(
    tx: Transaction,
    ring: KeyRing,
    until: Head,
    since: Head | None = None,
    *,
    newest: Head | None = None,
    purges: Purges | None = None,
    progress: Callable[[int], None] | None = None,
) -> LogReport:
    """Read the log from `since` (or its beginning) to `until`. Without `purges` every packet that is missing is a problem.

    `newest`: where the log ends now, if that is behind `until`; what stands behind it is no entry. `progress` is told how many entries were read
    so far. Raises what the store raises.
    """
    found = _Found()
    tree = _tree_at(tx, since, found)
    in_order = StreamsInOrder(lambda stream: _last_before(tx, stream, tree.size))
    purges = purges or _NonePurged()
    contents = Contents(tx, ring, purges)
    first, counts = tree.size, Counter[str]()
    for entries in _pages(tx, first, until.size, found):
        tree, nodes = _take(tree, entries, in_order, found)
        for problem in chain(wrong_nodes(tx, nodes), contents.problems([entry for entry, _ in entries])):
            found.add(problem)
        counts.update(entry.kind for entry, _ in entries)
        if progress is not None:
            progress(tree.size - first)
    if tree.size != until.size:
        found.add(f"the log has {tree.size} entries in a row, and the checkpoint says {until.size}")
    elif tree.root() != until.root:
        found.add("the entries do not give the checkpoint's root: the history was changed, or the checkpoint is another log's")
    end = max(until.size, (newest or until).size)
    for problem in chain(_unlogged(tx, end), nodes_behind(tx, end, PROBLEMS_MAX), purges.problems(tx)):
        found.add(problem)
    return LogReport(
        first=first,
        size=until.size,
        root=until.root.hex(),
        packets=counts["packet"],
        audit_entries=counts["audit"],
        purged=contents.purged,
        streams=dict(sorted(in_order.numbers.items())),
        problems=tuple(found.told),
        problem_count=found.count,
    )


def _tree_at(tx: Transaction, since: Head | None, found: _Found) -> CompactRange:
    """The tree at the older checkpoint. Its subtrees come from the store, and must give the root that the checkpoint says."""
    if since is None or since.size == 0:
        return CompactRange.empty()
    try:
        tree = stored_tree(tx).range_of(since.size)
        rewritten = tree.root() != since.root
    except StellaError as error:
        found.add(f"the log as of the older checkpoint cannot be read: {error}")
        return CompactRange.empty()
    if rewritten:
        found.add(f"the log's first {since.size} entries are not those of the older checkpoint: the history was written anew")
        return CompactRange.empty()
    return tree


def _pages(tx: Transaction, first: int, stop: int, found: _Found) -> Iterator[list[tuple[LogEntry, bytes]]]:
    try:
        yield from entries_between(tx, first, stop)
    except StellaError as error:
        found.add(f"an entry of the log cannot be read: {error}")


def _take(tree: CompactRange, entries: list[tuple[LogEntry, bytes]], in_order: StreamsInOrder, found: _Found) -> tuple[CompactRange, list[Node]]:
    hashes = []
    for index, (entry, stored) in enumerate(entries, start=tree.size):
        computed = _leaf_hash(entry)
        hashes.append(computed or stored)
        if computed != stored:
            found.add(f"entry {entry.index} ({entry.id}) does not give its stored leaf hash")
        if entry.index != index:
            found.add(f"entry {entry.index} ({entry.id}) stands where entry {index} must")
        wrong = in_order.out_of_order(entry)
        if wrong is not None:
            found.add(wrong)
    return tree.append(hashes)


def _leaf_hash(entry: LogEntry) -> bytes | None:
    """None for an entry that no leaf can say, such as one with a number beyond JSON's."""
    try:
        return entry.leaf_hash()
    except StellaError:
        return None


def _last_before(tx: Transaction, stream: str, index: int) -> int:
    """The last number of a stream in front of an index. Numbers grow with the index, so the first one behind it tells."""
    entry = log_entries.c
    behind = sa.select(sa.func.min(entry.sequence)).where(entry.stream == stream, entry.leaf_index >= index)
    first = tx.connection.execute(behind).scalar()
    if first is None or first <= 1:
        return 0
    before = tx.connection.execute(sa.select(entry.leaf_index).where(entry.stream == stream, entry.sequence == first - 1)).scalar()
    return 0 if before is None or before >= index else first - 1


def _unlogged(tx: Transaction, end: int) -> Iterator[str]:
    """What is stored, and neither stands in the log nor waits for it; and streams whose head says more than is there.

    A row behind the log's end is in no tree. It would let a note that waits be removed, and so keep what it is about out of the log.
    """
    behind = sa.select(log_entries.c.leaf_index, log_entries.c.entry_id).where(log_entries.c.leaf_index >= end)
    for row in tx.connection.execute(behind.order_by(log_entries.c.leaf_index).limit(PROBLEMS_MAX)):
        yield f"entry {row.leaf_index} ({row.entry_id}) stands behind the log's end, which is at {end}"
    for kind, table in (("packet", evidence_packets), ("audit entry", audit_entries)):
        in_log = sa.exists().where(log_entries.c.entry_id == table.c.id, log_entries.c.leaf_index < end)
        waits = sa.exists().where(log_pending.c.entry_id == table.c.id)
        for row in tx.connection.execute(sa.select(table.c.id).where(~in_log, ~waits).limit(PROBLEMS_MAX)):
            yield f"{kind} {row.id} is stored, but the log does not have it"
    for head in tx.connection.execute(sa.select(evidence_heads.c.stream, evidence_heads.c.sequence)):
        newest = _newest_number(tx, head.stream, end)
        if newest != head.sequence:
            yield f"{head.stream} was counted up to {head.sequence}, and its newest packet is no. {newest}"


def _newest_number(tx: Transaction, stream: str, end: int) -> int:
    in_log = (log_entries.c.stream == stream) & (log_entries.c.leaf_index < end)
    logged = tx.connection.execute(sa.select(sa.func.max(log_entries.c.sequence)).where(in_log)).scalar() or 0
    waiting = tx.connection.execute(sa.select(sa.func.max(log_pending.c.sequence)).where(log_pending.c.stream == stream)).scalar() or 0
    return max(logged, waiting)
