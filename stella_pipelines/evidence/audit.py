"""The audit trail: who did what to which thing, what was there before and after, and why. Append-only; the database enforces it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import as_words
from stella_pipelines.evidence.errors import AuditEntryMissing
from stella_pipelines.evidence.tables import audit_entries
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.pages import read_page


class AuditEntry(Value):
    """One line of the trail. `before` and `after` are digests of the thing's document."""

    id: str
    at: Instant
    actor: Actor
    action: str
    subject: str
    before: Digest | None
    after: Digest | None
    reason: str | None


def record(
    tx: Transaction,
    *,
    entry_id: str,
    at: datetime,
    actor: Actor,
    action: str,
    subject: str,
    before: Digest | None = None,
    after: Digest | None = None,
    reason: str | None = None,
) -> None:
    """Write one entry, in the transaction of the change that it tells of. The reason is mended and never stops that change."""
    tx.connection.execute(
        sa.insert(audit_entries).values(
            id=entry_id,
            at=format_instant(at),
            actor_name=actor.name,
            actor_kind=actor.kind,
            actor_via=actor.via,
            action=action,
            subject=subject,
            before=before,
            after=after,
            reason=None if reason is None else as_words(reason),
        )
    )


def page(tx: Transaction, *, subject: str | None = None, limit: int = 50, before: str | None = None) -> tuple[list[AuditEntry], int]:
    """The newest entries first, optionally only those older than the entry `before`; and how many older ones follow (`store/pages.py`)."""
    query = sa.select(audit_entries).order_by(audit_entries.c.position.desc())
    if subject is not None:
        query = query.where(audit_entries.c.subject == subject)
    if before is not None:
        query = query.where(audit_entries.c.position < _position(tx, before))
    rows, older = read_page(tx, query, limit)
    return [_entry(row) for row in rows], older


def _position(tx: Transaction, entry_id: str) -> int:
    found = tx.connection.execute(sa.select(audit_entries.c.position).where(audit_entries.c.id == entry_id)).scalar()
    if found is None:
        raise AuditEntryMissing(f"There is no audit entry {entry_id[:80]!r}.", next_step="Give the id of one that 'stella audit list --json' shows.")
    return int(found)


def list_entries(tx: Transaction, *, subject: str | None = None, actor: str | None = None, action: str | None = None, limit: int = 50) -> list[AuditEntry]:
    """The newest entries first, optionally of one subject, one actor or one action."""
    query = sa.select(audit_entries).order_by(audit_entries.c.position.desc()).limit(limit)
    for column, wanted in ((audit_entries.c.subject, subject), (audit_entries.c.actor_name, actor), (audit_entries.c.action, action)):
        if wanted is not None:
            query = query.where(column == wanted)
    return [_entry(row) for row in tx.connection.execute(query).mappings()]


def _entry(row: Mapping[Any, Any]) -> AuditEntry:
    actor = Actor(name=row["actor_name"], kind=row["actor_kind"], via=row["actor_via"])
    plain = {name: row[name] for name in AuditEntry.model_fields if name != "actor"}
    return AuditEntry(actor=actor, **plain)
