"""Legal holds in the store: events that are only added, each with its audit entry in the same transaction.

What cannot be read counts for more and not for less: a hold whose event is damaged, or is not what the audit trail says was entered, is a hold on
everything, and such a lifting lifts nothing. An event that is missing between others is a hold on everything, too.

A hold is lifted by another person than who placed it. It protects evidence from those who would like it gone, and one person who may both place
and lift holds could let go, alone, what a court asked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.words import as_words
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.retention.errors import HoldLiftRefused, HoldMissing, ReasonMissing
from stella_pipelines.evidence.retention.scopes import Hold, Lifted, Placed, Scope
from stella_pipelines.evidence.retention.tables import evidence_hold_events
from stella_pipelines.evidence.tables import audit_entries
from stella_pipelines.store.database import Transaction

SCOPE: Final[TypeAdapter[Any]] = TypeAdapter(Scope)
_ADVISORY_LOCK: Final = 0x57E11D
_IDS_A_STATEMENT: Final = 500
_MISSING: Final = "(missing)"


def lock(tx: Transaction) -> None:
    """Holds do not change, and nobody else purges, until this transaction ends. SQLite has one writer at a time anyway."""
    if tx.connection.dialect.name == "postgresql":
        tx.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def place(tx: Transaction, *, hold_id: str, entry_id: str, scope: Scope, reason: str, by: Actor, at: datetime) -> Hold:
    """Place a hold. It counts from this transaction on: a purge that is under way stops at it."""
    lock(tx)
    event = Placed(hold_id=hold_id, scope=scope, reason=_reason(reason), by=by, at=at)
    _append(tx, event, entry_id)
    return Hold(id=hold_id, placed=event)


def lift(tx: Transaction, *, hold_id: str, entry_id: str, reason: str, by: Actor, at: datetime) -> Hold:
    """Lift a hold. `HoldLiftRefused` for who placed it, and for one that is lifted already."""
    lock(tx)
    hold = find(tx, hold_id)
    if hold.lifted is not None:
        raise HoldLiftRefused(f"The hold {hold_id} was lifted by {hold.lifted.by.name} already.", next_step="There is nothing to do.")
    if hold.placed is not None and could_be_one(hold.placed.by.name, by.name):
        raise HoldLiftRefused(
            f"{by.name} placed the hold {hold_id}; another person must lift it. It stays in force.", next_step="Ask somebody else to lift it (--as NAME)."
        )
    event = Lifted(hold_id=hold_id, reason=_reason(reason), by=by, at=at)
    _append(tx, event, entry_id)
    return hold.model_copy(update={"lifted": event})


def find(tx: Transaction, hold_id: str) -> Hold:
    """One hold by its id."""
    found = next((hold for hold in every(tx) if hold.id == hold_id), None)
    if found is None:
        raise HoldMissing(f"There is no legal hold {hold_id[:80]!r}.", next_step="'stella evidence hold list --all' shows them.")
    return found


def every(tx: Transaction) -> list[Hold]:
    """Every hold that was ever placed, oldest first, also those that cannot be read."""
    rows = tx.connection.execute(sa.select(evidence_hold_events).order_by(evidence_hold_events.c.position)).mappings().all()
    entered = _entered(tx, sorted({row["hold_id"] for row in rows}))
    holds: dict[str, Hold] = {}
    for position, row in enumerate(rows, start=1):
        if row["position"] != position:
            holds.setdefault(_MISSING, Hold(id=_MISSING, placed=None))
        holds[row["hold_id"]] = _after(holds.get(row["hold_id"]), row, entered)
    return list(holds.values())


def in_force(tx: Transaction) -> list[Hold]:
    """The holds that keep something now."""
    return [hold for hold in every(tx) if hold.in_force]


def count_events(tx: Transaction) -> int:
    """How many events there are: whether any hold was placed or lifted in between."""
    return int(tx.connection.execute(sa.select(sa.func.count()).select_from(evidence_hold_events)).scalar_one())


def could_be_one(one: str, other: str) -> bool:
    """Whether two names could be the same person's: a plain name is also compared with the local part of a mail address. Pure."""
    left, right = one.casefold(), other.casefold()
    return left == right or (("@" in left) != ("@" in right) and left.split("@")[0] == right.split("@")[0])


def _entered(tx: Transaction, hold_ids: list[str]) -> set[tuple[str, str]]:
    """The subject and the hash after of every entry of the audit trail about these holds."""
    found: set[tuple[str, str]] = set()
    for start in range(0, len(hold_ids), _IDS_A_STATEMENT):
        subjects = [_subject(hold_id) for hold_id in hold_ids[start : start + _IDS_A_STATEMENT]]
        query = sa.select(audit_entries.c.subject, audit_entries.c.after).where(audit_entries.c.subject.in_(subjects))
        found |= {(row.subject, row.after) for row in tx.connection.execute(query)}
    return found


def _after(before: Hold | None, row: Mapping[Any, Any], entered: Collection[tuple[str, str]]) -> Hold:
    """The hold after an event, which is checked against its own row and against the trail."""
    event = _read(row)
    if event is not None and (_subject(event.hold_id), event.content_digest()) not in entered:
        event = None
    if before is None:
        return Hold(id=row["hold_id"], placed=event if isinstance(event, Placed) else None)
    is_lifted = isinstance(event, Lifted) and before.lifted is None and not (before.placed and could_be_one(before.placed.by.name, event.by.name))
    return before.model_copy(update={"lifted": event}) if is_lifted else before


def _read(row: Mapping[Any, Any]) -> Placed | Lifted | None:
    model: type[Placed | Lifted] = Lifted if row["kind"] == "lifted" else Placed
    try:
        event = model.model_validate(json.loads(row["document"]))
    except (ValidationError, ValueError, RecursionError):
        return None
    return event if event.hold_id == row["hold_id"] and event.kind == row["kind"] else None


def _append(tx: Transaction, event: Placed | Lifted, entry_id: str) -> None:
    row = {"hold_id": event.hold_id, "kind": event.kind, "at": format_instant(event.at), "document": event.canonical().decode()}
    tx.connection.execute(sa.insert(evidence_hold_events).values(position=count_events(tx) + 1, **row))
    audit.record(
        tx,
        entry_id=entry_id,
        at=event.at,
        actor=event.by,
        action="hold.place" if isinstance(event, Placed) else "hold.lift",
        subject=_subject(event.hold_id),
        environment=getattr(event.scope, "environment", None) if isinstance(event, Placed) else None,
        after=event.content_digest(),
        reason=event.reason,
    )


def _subject(hold_id: str) -> str:
    return f"hold/{hold_id}"


def _reason(text: str) -> str:
    if not text.strip():
        raise ReasonMissing("A legal hold is placed and lifted for a reason, and none was given.", next_step="Say why (--reason TEXT).")
    return as_words(text)
