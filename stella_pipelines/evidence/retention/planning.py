"""The plan of a purge: every old packet judged, in one look at the store, which changes nothing.

A plan is known by the digest of what goes. It does not depend on when it is made: as long as it says the same, it is the same plan. What a purge
by this plan has taken already still counts, so that one which was interrupted goes on under the digest that was agreed to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.retention import holds
from stella_pipelines.evidence.retention.candidates import Place
from stella_pipelines.evidence.retention.needs import needed_packets
from stella_pipelines.evidence.retention.rules import Reason, Verdict, judge
from stella_pipelines.evidence.retention.scopes import Hold
from stella_pipelines.evidence.retention.selecting import Old, old_page
from stella_pipelines.evidence.retention.tables import evidence_purged
from stella_pipelines.store.database import Transaction

Progress = Callable[[int], None]
_PURGED_PAGE: Final = 1_000


class Group(Value):
    """Packets of one kind and stream that go, or that are kept for one reason."""

    reason: Reason
    detail: str
    """Of what goes and of what is damaged or not logged the stream and the kind; else the hold, or what it is needed for."""
    packets: int
    bytes: int
    first: Instant
    last: Instant


class Plan(Value):
    """What a purge would do now."""

    digest: Digest
    retention_days: int
    sealed_before: Instant
    packets: int
    """How many go."""
    bytes: int
    purged_before: int
    """How many of this plan were purged already."""
    held: int
    going: tuple[Group, ...]
    kept: tuple[Group, ...]
    holds: tuple[Hold, ...]


@dataclass(frozen=True)
class Page:
    """A run of old packets: those behind `after`, up to `until`; `digest` says which of them go."""

    after: Place | None
    until: Place
    digest: Digest


@dataclass(frozen=True)
class Planned:
    """A plan with what its execution needs: the pages in which something goes, and the number of the last event of a hold."""

    plan: Plan
    pages: tuple[Page, ...]
    hold_events: int


class _Groups:
    def __init__(self) -> None:
        self._found: dict[tuple[Reason, str], Group] = {}

    def add(self, old: Old, reason: Reason, detail: str) -> None:
        one = old.candidate
        known = self._found.get((reason, detail))
        first, last = (one.sealed_at, one.sealed_at) if known is None else (known.first, one.sealed_at)
        packets, size = (1, one.bytes) if known is None else (known.packets + 1, known.bytes + one.bytes)
        self._found[reason, detail] = Group(reason=reason, detail=detail, packets=packets, bytes=size, first=first, last=last)

    def of(self, *, going: bool) -> tuple[Group, ...]:
        return tuple(group for (reason, _), group in sorted(self._found.items()) if (reason == "goes") is going)


def make_plan(
    tx: Transaction, ring: KeyRing, *, sealed_before: datetime, retention_days: int, agreed: Digest | None = None, progress: Progress | None = None
) -> Planned:
    """Judge everything that was sealed before a time. `agreed`: the digest of a plan that may have begun to be carried out."""
    judge_page = Judge(tx, ring, sealed_before)
    groups, pages, lines = _Groups(), [], _Lines(_purged_places(tx, agreed))
    looked, after = 0, None
    total = held = size = 0
    while old := list(old_page(tx, ring, sealed_before, after)):
        going = []
        for one in old:
            verdict = judge_page.verdict(one)
            details = verdict.details or (f"{one.candidate.stream}: {one.candidate.kind}",)
            groups.add(one, verdict.reason, ", ".join(details))
            held += verdict.reason == "held"
            if verdict.goes:
                going.append(one)
                size += one.candidate.bytes
                lines.add(one.place, one.candidate.content)
        if going:
            pages.append(Page(after, old[-1].place, digest_of(going)))
        total, looked, after = total + len(going), looked + len(old), old[-1].place
        if progress is not None:
            progress(looked)
    plan = Plan(
        digest=lines.digest(),
        retention_days=retention_days,
        sealed_before=sealed_before,
        packets=total,
        bytes=size,
        purged_before=lines.purged,
        held=held,
        going=groups.of(going=True),
        kept=groups.of(going=False),
        holds=tuple(judge_page.holds),
    )
    return Planned(plan, tuple(pages), judge_page.hold_events)


class Judge:
    """The rule with all that it is told, as of one transaction."""

    def __init__(self, tx: Transaction, ring: KeyRing, sealed_before: datetime) -> None:
        self._tx = tx
        self._ring = ring
        self._sealed_before = sealed_before
        self.hold_events = holds.count_events(tx)
        self.holds = holds.in_force(tx)
        self._needed = needed_packets(tx)

    def verdict(self, old: Old) -> Verdict:
        """What becomes of a packet."""
        return judge(old.candidate, self._sealed_before, self.holds, self._needed)

    def going(self, page: Page) -> list[Old]:
        """Which packets of a page go, now."""
        return [old for old in old_page(self._tx, self._ring, self._sealed_before, page.after, page.until) if self.verdict(old).goes]


def digest_of(going: Iterable[Old]) -> Digest:
    """What says which packets go."""
    return Digest.of(b"".join(_line(one.place[2], one.candidate.content) for one in going))


class _Lines:
    """The digest over everything of the plan in its order: what was purged already is woven in where it stood."""

    def __init__(self, purged: Iterator[tuple[Place, Digest]]) -> None:
        self._hash = hashlib.sha256()
        self._rest = purged
        self._next = next(purged, None)
        self.purged = 0

    def add(self, place: Place, content: Digest) -> None:
        self._weave(place)
        self._hash.update(_line(place[2], content))

    def digest(self) -> Digest:
        self._weave(None)
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def _weave(self, before: Place | None) -> None:
        while self._next is not None and (before is None or self._next[0] < before):
            place, content = self._next
            self._hash.update(_line(place[2], content))
            self.purged += 1
            self._next = next(self._rest, None)


def _purged_places(tx: Transaction, plan: Digest | None) -> Iterator[tuple[Place, Digest]]:
    row = evidence_purged.c
    order = (row.sealed_at, row.sequence, row.packet_id)
    after: Place | None = None
    while plan is not None:
        query = sa.select(*order, row.content).where(row.plan == plan).order_by(*order).limit(_PURGED_PAGE)
        found = tx.connection.execute(query if after is None else query.where(sa.tuple_(*order) > sa.tuple_(*after))).all()
        for one in found:
            after = (one.sealed_at, one.sequence, one.packet_id)
            yield after, Digest(one.content)
        if len(found) < _PURGED_PAGE:
            return


def _line(packet_id: str, content: Digest) -> bytes:
    return f"{packet_id} {content}\n".encode()
