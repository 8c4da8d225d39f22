"""What a digest touched: the packets that name it anywhere, those about the releases that it is of, and the audit entries about all these.

No index knows every digest inside a packet (a policy, a report, a plan), so the packets are read from the first to the last, twice when the digest
is part of a release: some 20,000 a second.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant, parse_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.exports.errors import QuestionInvalid
from stella_pipelines.evidence.exports.manifest import ABOUT_MAX
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.frames.reading import Document, digest, inside, text
from stella_pipelines.evidence.log.tables import log_entries
from stella_pipelines.evidence.tables import audit_entries, evidence_packets
from stella_pipelines.store.database import Transaction

_HEX: Final = re.compile(rb"[0-9a-f]{64}")
_PACKETS_A_PAGE: Final = 100
_AUDIT_A_PAGE: Final = 2_000
Found = tuple["array[int]", "array[int]", tuple[Digest, ...]]


@dataclass
class _Names:
    """What the audit trail calls the things that the found packets are about."""

    names: set[str] = field(default_factory=set)

    def take(self, predicate: Document) -> None:
        decision, deployment, release = inside(predicate, "decision"), inside(predicate, "deployment"), inside(predicate, "release")
        for one in (text(decision, "promotion_id"), text(deployment, "promotion_id"), text(deployment, "id")):
            self.names |= {one} if one else set()
        label = text(release, "label") or text(inside(decision, "release"), "name")
        self.names |= {f"release/{label}"} if label else set()

    def have(self, subject: str) -> bool:
        """Whether it is one of them, or a part of one."""
        parts = subject.split("/")
        return any("/".join(parts[:count]) in self.names for count in range(1, len(parts) + 1))


def touched(tx: Transaction, question: Question, subject: Digest, size: int) -> Found:
    """Indexes of packets and of audit entries below `size`, ascending, and the digests by which they were found."""
    about = {subject.hex.encode()}
    for _, _, payload in _packets(tx, size):
        if subject.hex.encode() in payload:
            about |= _release_of_subject(json.loads(payload), subject)
    if len(about) > ABOUT_MAX:
        raise QuestionInvalid(
            f"{subject} is part of {len(about) - 1} releases; an export takes at most {ABOUT_MAX}.", next_step="Ask about an environment or a span of time."
        )
    packets, names = array("q"), _Names()
    for index, at, payload in _packets(tx, size):
        if question.is_in_span(parse_instant(at)) and not about.isdisjoint(_HEX.findall(payload)):
            packets.append(index)
            names.take(inside(json.loads(payload), "predicate"))
    digests = tuple(sorted(Digest(f"sha256:{one.decode()}") for one in about))
    return packets, _audit(tx, question, set(digests), names, size), digests


def _packets(tx: Transaction, size: int) -> Iterator[tuple[int, str, bytes]]:
    """Every stored packet: its index, its time and what it says."""
    rows = log_entries.join(evidence_packets, evidence_packets.c.id == log_entries.c.entry_id)
    query = sa.select(log_entries.c.leaf_index, evidence_packets.c.sealed_at, evidence_packets.c.envelope).select_from(rows)
    after = -1
    while True:
        here = query.where(log_entries.c.leaf_index > after, log_entries.c.leaf_index < size, log_entries.c.kind == "packet")
        page = tx.connection.execute(here.order_by(log_entries.c.leaf_index).limit(_PACKETS_A_PAGE)).all()
        if not page:
            return
        for row in page:
            yield row.leaf_index, row.sealed_at, read_envelope(bytes(row.envelope)).payload
        after = page[-1].leaf_index


def _release_of_subject(statement: Any, subject: Digest) -> set[bytes]:
    """The release of a packet that is about the digest, and does not just rest on it."""
    if not any(one["digest"].get("sha256") == subject.hex for one in statement["subject"]):
        return set()
    predicate = statement["predicate"]
    found = digest(inside(predicate, "decision", "release"), "digest") or digest(inside(predicate, "release"), "digest")
    return set() if found is None else {found.hex.encode()}


def _audit(tx: Transaction, question: Question, about: set[Digest], names: _Names, size: int) -> array[int]:
    rows = log_entries.join(audit_entries, audit_entries.c.id == log_entries.c.entry_id)
    columns = (log_entries.c.leaf_index, audit_entries.c.at, audit_entries.c.subject, audit_entries.c.before, audit_entries.c.after)
    found, after = array("q"), -1
    since, until = (None if one is None else format_instant(one) for one in (question.since, question.until))
    while True:
        here = sa.select(*columns).select_from(rows).where(log_entries.c.leaf_index > after, log_entries.c.leaf_index < size)
        page = tx.connection.execute(here.order_by(log_entries.c.leaf_index).limit(_AUDIT_A_PAGE)).all()
        if not page:
            return found
        for row in page:
            is_named = row.before in about or row.after in about or names.have(row.subject)
            if is_named and (since is None or row.at >= since) and (until is None or row.at < until):
                found.append(row.leaf_index)
        after = page[-1].leaf_index
