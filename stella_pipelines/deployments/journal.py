"""The journal: one row before every effect (intent) and one after it (outcome), each in its own transaction. Append-only.

The rows are the rollout's events: `course.py` decides them again. A write whose commit was lost on the wire may be repeated: the same row
under the same number is no second row, and another row under that number means that somebody else is at work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa

from stella_pipelines.connectors.port import Observation
from stella_pipelines.core.canonical import canonical_digest
from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.errors import JournalTaken
from stella_pipelines.deployments.events import Aborted, Event, StepFailed, StepStarted, StepSucceeded
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import StepKind
from stella_pipelines.deployments.tables import journal
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.upsert import insert

ABORT = "abort"


class JournalRow(Value):
    """One row. `step` is a step's kind, or `abort`; `document` holds what is worth keeping besides the event."""

    deployment_id: str
    seq: int
    target: str | None
    step: str
    phase: Literal["intent", "outcome"]
    fence: int
    elapsed_s: float
    failure: Failure | None = None
    observation: Observation | None = None
    notes: tuple[str, ...] = ()
    log: Digest | None = None
    at: Instant

    def event(self) -> Event:
        """The event that the row records."""
        if self.step == ABORT:
            assert self.failure is not None
            return Aborted(failure=self.failure)
        assert self.target is not None
        kind = StepKind(self.step)
        if self.phase == "intent":
            return StepStarted(target=self.target, kind=kind)
        if self.failure is not None:
            return StepFailed(target=self.target, kind=kind, failure=self.failure)
        return StepSucceeded(target=self.target, kind=kind)


_COLUMNS = ("deployment_id", "seq", "target", "step", "phase", "fence", "elapsed_s")


def append(tx: Transaction, row: JournalRow) -> None:
    """Write the row, once."""
    document = row.canonical().decode()
    values = {name: getattr(row, name) for name in _COLUMNS}
    fresh = insert(tx, journal).values(**values, document=document, at=format_instant(row.at)).on_conflict_do_nothing(index_elements=["deployment_id", "seq"])
    if tx.connection.execute(fresh).rowcount == 1:
        return
    written = sa.select(journal.c.document).where(journal.c.deployment_id == row.deployment_id, journal.c.seq == row.seq)
    if tx.connection.execute(written).scalar() != document:
        raise JournalTaken(
            f"Row {row.seq} of the journal of {row.deployment_id} was written by somebody else.",
            unchanged="The targets are as the journal says.",
            next_step="Nothing to do: the other process goes on with the deployment.",
        )


def read(tx: Transaction, deployment_id: str, after: int = 0) -> list[JournalRow]:
    """The whole journal, or the rows after a number, in order."""
    query = sa.select(journal.c.document).where(journal.c.deployment_id == deployment_id, journal.c.seq > after).order_by(journal.c.seq)
    return [JournalRow.model_validate_json(document) for document in tx.connection.execute(query).scalars()]


def journal_digest(rows: Sequence[JournalRow]) -> Digest:
    """One digest over the whole journal, for the sealed packet."""
    return canonical_digest([row.document() for row in rows])


def row_of(deployment_id: str, seq: int, event: Event, **given: Any) -> JournalRow:
    """The row that records an event; `given` are the fence, times and findings."""
    where: dict[str, Any] = {"deployment_id": deployment_id, "seq": seq, **given}
    match event:
        case StepStarted(target=target, kind=kind):
            return JournalRow(**where, target=target, step=kind, phase="intent")
        case StepSucceeded(target=target, kind=kind):
            return JournalRow(**where, target=target, step=kind, phase="outcome")
        case StepFailed(target=target, kind=kind, failure=failure):
            return JournalRow(**where, target=target, step=kind, phase="outcome", failure=failure)
        case Aborted(failure=failure):
            return JournalRow(**where, target=None, step=ABORT, phase="outcome", failure=failure)
        case _:
            raise AssertionError(f"{type(event).__name__} is not journaled: time that passes leaves no trace of its own")
