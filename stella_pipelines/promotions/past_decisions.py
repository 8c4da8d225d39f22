"""Every sealed decision of the past, one after the other: verified, looked at, and let go. Reads only.

Environment by environment in the order of their sequence, so that an interrupted walk can say how far it came. One decision is in memory at a
time; transactions are short, so that a walk of an hour holds nobody up. What was sealed after the walk began is not part of it.
A packet that is damaged or cannot be verified is an answer like any other, and the walk goes on; a database that is away ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

import sqlalchemy as sa
from pydantic import ValidationError

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.words import as_words
from stella_pipelines.evidence.errors import StoredPacketDamaged
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.evidence.streams import environment_of, environment_stream
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.promotions.recorded_decision import ReadBlob
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store, Transaction

PAGE_DECISIONS: Final = 100
"""Places that are read at once; the packets themselves are read one by one."""
Answer = TypeVar("Answer")
Look = Callable[[str, Statement, ReadBlob], Answer]
"""What is asked about a verified decision: its packet's id, its statement, and where its inputs are read."""


class PeriodReversed(StellaError):
    """A period ends before it begins, so nothing can lie in it."""

    code = "VAL_PERIOD_REVERSED"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which decisions: of one environment or all, sealed at or after `since` and before `until`."""

    environment: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise PeriodReversed(
                f"The period from {format_instant(self.since)} to {format_instant(self.until)} is empty.", next_step="Give --until a later time than --since."
            )

    @property
    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """The same as conditions on the rows."""
        table, found = evidence_packets.c, [evidence_packets.c.kind == "decision"]
        if self.environment is not None:
            found.append(table.stream == environment_stream(self.environment))
        if self.since is not None:
            found.append(table.sealed_at >= format_instant(self.since))
        if self.until is not None:
            found.append(table.sealed_at < format_instant(self.until))
        return found


@dataclass(frozen=True, slots=True)
class Extent:
    """How many decisions of an environment there are, and the number of the last packet among them."""

    stream: str
    decisions: int
    last: int


@dataclass(frozen=True, slots=True)
class Looked(Generic[Answer]):
    """One decision after the look: an answer, or the problem that stood in its way."""

    packet_id: str
    environment: str
    sequence: int
    answer: Answer | None
    problem: StellaError | None


class PastDecisions:
    """The decisions of a selection, as they stand when this is made."""

    def __init__(self, store: Store, evidence: Evidence, selection: Selection) -> None:
        self._store = store
        self._evidence = evidence
        self._selection = selection
        with store.reading() as tx:
            self._extents = _extents(tx, selection)

    @property
    def extent(self) -> dict[str, int]:
        """How many decisions there are, by environment."""
        return {_place(one.stream): one.decisions for one in self._extents}

    def each(self, look: Look[Answer]) -> Iterator[Looked[Answer]]:
        """Every decision with what `look` says about it."""
        for extent in self._extents:
            after = 0
            while after < extent.last:
                with self._store.reading() as tx:
                    page = self._page(tx, extent, after)
                    for packet_id, sequence in page:
                        yield self._looked(tx, extent, packet_id, sequence, look)
                after = page[-1][1] if page else extent.last

    def _page(self, tx: Transaction, extent: Extent, after: int) -> list[tuple[str, int]]:
        table = evidence_packets.c
        mine = (table.stream == extent.stream, table.sequence > after, table.sequence <= extent.last)
        query = sa.select(table.id, table.sequence).where(*self._selection.conditions, *mine).order_by(table.sequence).limit(PAGE_DECISIONS)
        return [(row.id, int(row.sequence)) for row in tx.connection.execute(query)]

    def _looked(self, tx: Transaction, extent: Extent, packet_id: str, sequence: int, look: Look[Answer]) -> Looked[Answer]:
        answer, problem = None, None
        try:
            answer = look(packet_id, self._statement(tx, packet_id), reader(tx))
        except StellaError as error:
            if error.retryable:
                raise
            problem = error
        return Looked(as_words(packet_id), _place(extent.stream), sequence, answer, problem)

    def _statement(self, tx: Transaction, packet_id: str) -> Statement:
        try:
            return read_verified(self._evidence, tx, packet_id)[1].statement
        except ValidationError as error:
            raise StoredPacketDamaged(
                f"The rows of the stored packet {packet_id[:80]!r} are not those of a packet.",
                next_step="Restore the database from a backup and keep this copy.",
            ) from error


def reader(tx: Transaction) -> ReadBlob:
    """Where the inputs of decisions are read, for as long as the transaction lives."""

    def read(digest: Digest) -> bytes:
        return blobs.get(tx, digest)

    return read


def _place(stream: str) -> str:
    """The environment; or the stream itself, where no decision belongs. Mended, since rows may hold anything until they are verified."""
    environment = environment_of(stream)
    return as_words(environment if environment is not None and stream == environment_stream(environment) else stream)


def _extents(tx: Transaction, selection: Selection) -> tuple[Extent, ...]:
    table = evidence_packets.c
    counted = sa.select(table.stream, sa.func.count().label("decisions"), sa.func.max(table.sequence).label("last"))
    rows = tx.connection.execute(counted.where(*selection.conditions).group_by(table.stream).order_by(table.stream))
    return tuple(Extent(row.stream, int(row.decisions), int(row.last)) for row in rows)
