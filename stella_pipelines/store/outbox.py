"""The outbox: runs that must be started, written in the same transaction as the decision that wants them.

A row is `pending`, then `submitted` (with the id of its run) or `abandoned` (with the reason). A pending row whose submission failed says how
often and why, and rests until its `retry_at`. One row per kind, subject and attempt, for ever: enqueueing again is a no-op. Who submits the
runs, and how long a failed row rests, is not decided here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import as_words
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.errors import Conflict
from stella_pipelines.store.tables import outbox
from stella_pipelines.store.upsert import insert

Kind = Literal["promotion", "deployment", "resumption"]
State = Literal["pending", "submitted", "abandoned"]
REASON_LENGTH_MAX: Final = 2_000
"""Characters of a failure that are kept; a stack of causes says no more after that."""
WANTED_CHANNEL: Final = "stella_outbox"
"""Where PostgreSQL says, when the transaction commits, that a run is wanted (`wakeups.py`)."""


class OutboxRow(Value):
    """One run that is wanted."""

    id: str
    kind: Kind
    subject: str
    attempt: int
    payload: dict[str, str]
    state: State
    run_id: str | None
    reason: str | None = None
    """Why the newest submission failed, or why the row was abandoned."""
    failures: int = 0
    retry_at: Instant | None = None
    created_at: Instant


def enqueue(tx: Transaction, kind: Kind, subject: str, attempt: int, payload: Mapping[str, str], row_id: str, now: datetime) -> None:
    """Want a run. A row for the same kind, subject and attempt stays as it is, whatever its state."""
    at = format_instant(now)
    row = {"id": row_id, "kind": kind, "subject": subject, "attempt": attempt, "state": "pending", "created_at": at, "updated_at": at}
    statement = insert(tx, outbox).values(**row, payload=canonical_json(dict(payload)).decode())
    tx.connection.execute(statement.on_conflict_do_nothing(index_elements=["kind", "subject", "attempt"]))
    if tx.connection.dialect.name == "postgresql":
        tx.connection.execute(sa.select(sa.func.pg_notify(WANTED_CHANNEL, "")))


def pending(tx: Transaction, limit: int) -> list[OutboxRow]:
    """The oldest rows that wait to be submitted, those that rest included."""
    query = sa.select(outbox).where(outbox.c.state == "pending").order_by(outbox.c.created_at, outbox.c.id).limit(limit)
    return [_row(found) for found in tx.connection.execute(query).mappings()]


def due(tx: Transaction, now: datetime, rest_s_max: float, limit: int) -> list[OutboxRow]:
    """The pending rows that may be submitted now: the oldest first, but none behind one that has failed more often.

    A row that rests longer than `rest_s_max` was put to rest by a clock that was ahead, and is due.
    """
    latest = format_instant(now + timedelta(seconds=rest_s_max))
    rested = outbox.c.retry_at.is_(None) | (outbox.c.retry_at <= format_instant(now)) | (outbox.c.retry_at > latest)
    query = sa.select(outbox).where(outbox.c.state == "pending", rested).order_by(outbox.c.failures, outbox.c.created_at, outbox.c.id).limit(limit)
    return [_row(found) for found in tx.connection.execute(query).mappings()]


def latest(tx: Transaction, kind: Kind, subject: str) -> OutboxRow | None:
    """The row with the highest attempt, if there is any."""
    query = sa.select(outbox).where(outbox.c.kind == kind, outbox.c.subject == subject).order_by(outbox.c.attempt.desc()).limit(1)
    found = tx.connection.execute(query).mappings().first()
    return None if found is None else _row(found)


def mark_submitted(tx: Transaction, row_id: str, run_id: str, now: datetime) -> None:
    """Note the run. Noting the same run again is a no-op; a row that names another run, or was abandoned, is a `Conflict`."""
    free = (outbox.c.state == "pending") | ((outbox.c.state == "submitted") & (outbox.c.run_id == run_id))
    _change(tx, row_id, free, {"state": "submitted", "run_id": run_id, "reason": None, "retry_at": None}, now)


def note_failure(tx: Transaction, row_id: str, reason: str, retry_at: datetime, now: datetime) -> None:
    """Note that a pending row could not be submitted, and when to try again. A row that was handled in the meantime stays as it is."""
    failed = {"failures": outbox.c.failures + 1, "reason": as_words(reason)[:REASON_LENGTH_MAX], "retry_at": format_instant(retry_at)}
    waits = (outbox.c.id == row_id) & (outbox.c.state == "pending")
    tx.connection.execute(sa.update(outbox).where(waits).values(**failed, updated_at=format_instant(now)))


def abandon(tx: Transaction, row_id: str, reason: str, now: datetime) -> None:
    """Give a pending row up and say why. Giving it up again keeps the first reason; a submitted row is a `Conflict`."""
    free = outbox.c.state.in_(["pending", "abandoned"])
    kept = sa.case((outbox.c.state == "abandoned", outbox.c.reason), else_=as_words(reason))
    _change(tx, row_id, free, {"state": "abandoned", "reason": kept}, now)


def _change(tx: Transaction, row_id: str, free: sa.ColumnElement[bool], values: Mapping[str, object], now: datetime) -> None:
    done = tx.connection.execute(sa.update(outbox).where(outbox.c.id == row_id, free).values(**values, updated_at=format_instant(now)))
    if done.rowcount != 1:
        raise Conflict(f"The outbox row {row_id} does not exist or was already handled otherwise.", next_step="Read the row again.")


def _row(found: Mapping[Any, Any]) -> OutboxRow:
    fields = {name: found[name] for name in OutboxRow.model_fields if name != "payload"}
    return OutboxRow(**fields, payload=json.loads(found["payload"]))
