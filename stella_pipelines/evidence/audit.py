"""The audit trail: who did what to which thing, what was there before and after, and why. Append-only; the database enforces it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.requests import current_request
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import as_words
from stella_pipelines.evidence.errors import AuditEntryMissing
from stella_pipelines.evidence.tables import audit_entries
from stella_pipelines.store.database import Transaction

_ENTRY: Final = sa.insert(audit_entries)


class AuditEntry(Value):
    """One line of the trail. `before` and `after` are digests of the thing's document; the log holds the digest of the entry's canonical JSON."""

    id: str
    at: Instant
    actor: Actor
    action: str
    subject: str
    environment: str | None
    """The environment that it concerns, if it concerns one."""
    before: Digest | None
    after: Digest | None
    reason: str | None
    request_id: str | None
    """What it was part of: one command, one run, one call."""


def record(
    tx: Transaction,
    *,
    entry_id: str,
    at: datetime,
    actor: Actor,
    action: str,
    subject: str,
    environment: str | None = None,
    before: Digest | None = None,
    after: Digest | None = None,
    reason: str | None = None,
    request_id: str | None = None,
) -> None:
    """Write one entry, in the transaction of the change that it tells of. The reason is mended and never stops that change.

    Without `request_id`, it is the request that the present work is part of (`core/requests.py`).
    """
    entry = AuditEntry(
        id=entry_id,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        environment=environment,
        before=before,
        after=after,
        reason=None if reason is None else as_words(reason),
        request_id=request_id or current_request(),
    )
    row = entry.model_dump(mode="python", exclude={"actor"}) | {"at": format_instant(entry.at), "digest": entry.content_digest()}
    named = {"actor_name": actor.name, "actor_kind": actor.kind, "actor_via": actor.via}
    tx.connection.execute(_ENTRY, row | named)


def position_of(tx: Transaction, entry_id: str) -> int:
    """Where an entry stands in the trail; `AuditEntryMissing` when there is none with this id."""
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
    return [entry_of(row) for row in tx.connection.execute(query).mappings()]


def entry_of(row: Mapping[Any, Any]) -> AuditEntry:
    """A stored row as an entry."""
    actor = Actor(name=row["actor_name"], kind=row["actor_kind"], via=row["actor_via"])
    plain = {name: row[name] for name in AuditEntry.model_fields if name != "actor"}
    return AuditEntry(actor=actor, **plain)
