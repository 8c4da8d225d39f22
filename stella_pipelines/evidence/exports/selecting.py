"""Which entries of the log answer a question, up to a checkpoint. Reads; keeps eight bytes for each entry that it finds.

The answer depends on the question and the checkpoint alone, because nothing before a checkpoint ever changes; so an export that was interrupted
finds the same entries again. (A purge in between takes bytes away: the export then says so of those that it had not written yet.)
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.exports.manifest import StreamSpan
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.touching import touched
from stella_pipelines.evidence.log.tables import log_entries
from stella_pipelines.evidence.streams import AUDIT, RELEASES
from stella_pipelines.evidence.tables import audit_entries, evidence_packets, evidence_subjects
from stella_pipelines.store.database import Transaction

TAIL_MAX: Final = 100_000
"""Leaves behind a stream's last packet that an export carries to prove that it is the last: some 10 MB."""
_PAGE: Final = 10_000


@dataclass
class Selection:
    """What an export holds: indexes in the log, ascending."""

    packets: array[int] = field(default_factory=lambda: array("q"))
    purged: array[int] = field(default_factory=lambda: array("q"))
    audit: array[int] = field(default_factory=lambda: array("q"))
    streams: tuple[StreamSpan, ...] = ()
    about: tuple[Digest, ...] = ()
    tail_from: int | None = None


def select(tx: Transaction, question: Question, size: int) -> Selection:
    """The entries below `size` that answer the question."""
    found = Selection()
    if question.subject is not None:
        found.packets, found.audit, found.about = touched(tx, question, question.subject, size)
        return found
    ends: list[int] = []
    for stream in question.streams or _all_streams(tx, size):
        span, last_index = _span(tx, stream, question, size)
        found.streams += (span,)
        _take(tx, span, size, found)
        if span.end == "newest":
            ends.append(last_index + 1)
    found.tail_from = min(ends, default=None)
    if question.environment is not None:
        found.packets.extend(_releases(tx, found.streams[0], size))
        found.audit.extend(_audit_of(tx, question, size))
    found.packets, found.purged, found.audit = (array("q", sorted(set(one))) for one in (found.packets, found.purged, found.audit))
    return found


def _all_streams(tx: Transaction, size: int) -> list[str]:
    query = sa.select(log_entries.c.stream).where(log_entries.c.leaf_index < size).distinct().order_by(log_entries.c.stream)
    return list(tx.connection.execute(query).scalars())


def _span(tx: Transaction, stream: str, question: Question, size: int) -> tuple[StreamSpan, int]:
    """From where to where the stream is needed, and the log's index of its last entry there."""
    inside = (log_entries.c.stream == stream, log_entries.c.leaf_index < size)
    newest = tx.connection.execute(sa.select(sa.func.max(log_entries.c.sequence)).where(*inside)).scalar()
    if newest is None:
        return _ending(StreamSpan(stream=stream, first=None, last=None, end="newest"), -1, size)
    lowest, highest = _matching(tx, stream, question, newest)
    before = _stored(tx, stream, sa.func.max, below=lowest) if lowest is not None else _last_before(tx, stream, question, newest)
    first = before or 1
    after = _stored(tx, stream, sa.func.min, above=before or 0 if highest is None else highest, below=newest + 1)
    last = after or newest
    last_index = int(tx.connection.execute(sa.select(log_entries.c.leaf_index).where(*inside, log_entries.c.sequence == last)).scalar_one())
    return _ending(StreamSpan(stream=stream, first=first, last=last, end="newest" if after is None else "followed"), last_index, size)


def _ending(span: StreamSpan, last_index: int, size: int) -> tuple[StreamSpan, int]:
    too_far = span.end == "newest" and size - (last_index + 1) > TAIL_MAX
    return span.model_copy(update={"end": "stated"}) if too_far else span, last_index


def _rows(stream: str) -> tuple[sa.FromClause, sa.Column[Any], sa.Column[Any]]:
    """Where the stored entries of a stream are, with their numbers and their times."""
    if stream == AUDIT:
        return log_entries.join(audit_entries, audit_entries.c.id == log_entries.c.entry_id), log_entries.c.sequence, audit_entries.c.at
    return evidence_packets, evidence_packets.c.sequence, evidence_packets.c.sealed_at


def _of(stream: str) -> Any:
    return (log_entries if stream == AUDIT else evidence_packets).c.stream == stream


def _matching(tx: Transaction, stream: str, question: Question, newest: int) -> tuple[int | None, int | None]:
    """The lowest and the highest number within the span of time."""
    if question.since is None and question.until is None:
        return 1, newest
    rows, sequence, at = _rows(stream)
    query = sa.select(sa.func.min(sequence), sa.func.max(sequence)).select_from(rows).where(_of(stream), sequence <= newest, *_within(at, question))
    lowest, highest = tx.connection.execute(query).one()
    return lowest, highest


def _last_before(tx: Transaction, stream: str, question: Question, newest: int) -> int | None:
    """When nothing is within the span: the last one in front of it."""
    rows, sequence, at = _rows(stream)
    if question.since is None:
        return None
    query = sa.select(sa.func.max(sequence)).select_from(rows).where(_of(stream), sequence <= newest, at < format_instant(question.since))
    return tx.connection.execute(query).scalar()


def _stored(tx: Transaction, stream: str, which: Any, *, above: int = 0, below: int) -> int | None:
    """The nearest entry whose bytes are stored, which therefore shows its time."""
    rows, sequence, _ = _rows(stream)
    return tx.connection.execute(sa.select(which(sequence)).select_from(rows).where(_of(stream), sequence > above, sequence < below)).scalar()


def _within(at: sa.ColumnElement[Any], question: Question) -> list[Any]:
    since = [] if question.since is None else [at >= format_instant(question.since)]
    return since + ([] if question.until is None else [at < format_instant(question.until)])


def _take(tx: Transaction, span: StreamSpan, size: int, found: Selection) -> None:
    """The entries of a span, each with whether its bytes are still stored."""
    if span.first is None or span.last is None:
        return
    stored, there = (audit_entries.c.id, found.audit) if span.stream == AUDIT else (evidence_packets.c.id, found.packets)
    rows = log_entries.outerjoin(stored.table, stored == log_entries.c.entry_id)
    start = span.first
    while start <= span.last:
        stop = min(start + _PAGE, span.last + 1)
        mine = (log_entries.c.stream == span.stream, log_entries.c.sequence >= start, log_entries.c.sequence < stop, log_entries.c.leaf_index < size)
        for index, stored_id in tx.connection.execute(sa.select(log_entries.c.leaf_index, stored).select_from(rows).where(*mine)):
            (found.purged if stored_id is None else there).append(index)
        start = stop


def _releases(tx: Transaction, span: StreamSpan, size: int) -> list[int]:
    """The packets of the releases that an environment's packets are about."""
    if span.first is None:
        return []
    about = evidence_subjects.join(evidence_packets, evidence_packets.c.id == evidence_subjects.c.packet_id)
    mine = (evidence_packets.c.stream == span.stream, evidence_packets.c.sequence >= span.first, evidence_packets.c.sequence <= span.last)
    digests = sa.select(evidence_subjects.c.digest).select_from(about).where(*mine)
    naming = sa.select(evidence_subjects.c.packet_id).where(evidence_subjects.c.digest.in_(digests))
    query = sa.select(log_entries.c.leaf_index).where(log_entries.c.stream == RELEASES, log_entries.c.leaf_index < size, log_entries.c.entry_id.in_(naming))
    stored = sa.exists().where(evidence_packets.c.id == log_entries.c.entry_id)
    return list(tx.connection.execute(query.where(stored)).scalars())


def _audit_of(tx: Transaction, question: Question, size: int) -> list[int]:
    rows = log_entries.join(audit_entries, audit_entries.c.id == log_entries.c.entry_id)
    mine = (audit_entries.c.environment == question.environment, log_entries.c.leaf_index < size, *_within(audit_entries.c.at, question))
    return list(tx.connection.execute(sa.select(log_entries.c.leaf_index).select_from(rows).where(*mine)).scalars())
