"""Looking for entries of the trail: pages of them, newest first, by what, who, where, when and as part of what. Reads only."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.audit import AuditEntry, entry_of, position_of
from stella_pipelines.evidence.tables import audit_entries
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.pages import read_page

_ROWS = audit_entries.c


class Asked(Value):
    """Which entries are wanted; what is None is not asked for."""

    subject: str | None = None
    """What was changed, and everything that belongs to it: `release/shop-1.0` has `release/shop-1.0/report/…` too."""
    actor: str | None = None
    action: str | None = None
    """An action, or all whose names begin with `release.` and the like."""
    environment: str | None = None
    request: str | None = None
    since: Instant | None = None
    until: Instant | None = None


def page(tx: Transaction, asked: Asked, limit: int = 50, before: str | None = None) -> tuple[list[AuditEntry], int]:
    """The newest entries first, optionally only those older than the entry `before`; and how many older ones follow (`store/pages.py`)."""
    query = sa.select(audit_entries).where(*_conditions(tx, asked)).order_by(_ROWS.position.desc())
    if before is not None:
        query = query.where(_ROWS.position < position_of(tx, before))
    rows, older = read_page(tx, query, limit)
    return [entry_of(row) for row in rows], older


def _conditions(tx: Transaction, asked: Asked) -> Iterator[sa.ColumnElement[bool]]:
    if asked.subject is not None:
        yield (_ROWS.subject == asked.subject) | _begins(tx, _ROWS.subject, f"{asked.subject}/")
    if asked.action is not None:
        yield _begins(tx, _ROWS.action, asked.action) if asked.action.endswith(".") else _ROWS.action == asked.action
    for column, wanted in ((_ROWS.actor_name, asked.actor), (_ROWS.environment, asked.environment), (_ROWS.request_id, asked.request)):
        if wanted is not None:
            yield column == wanted
    if asked.since is not None:
        yield _ROWS.at >= format_instant(asked.since)
    if asked.until is not None:
        yield _ROWS.at < format_instant(asked.until)


def _begins(tx: Transaction, column: sa.ColumnElement[str], start: str) -> sa.ColumnElement[bool]:
    """Whether a text begins so, in the words for which each database uses its index."""
    if tx.connection.dialect.name == "sqlite":
        return (column >= start) & (column < start[:-1] + chr(ord(start[-1]) + 1))
    return column.startswith(start, autoescape=True)
