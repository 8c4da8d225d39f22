"""The rows of releases: reading them as values, and the few changes that are possible. Every function takes an open transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.releases.model import Release, ReleaseRecord, ReleaseState
from stella_pipelines.releases.reports import SecurityReport
from stella_pipelines.releases.tables import release_components, release_pushes, release_reports, releases
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.pages import read_page
from stella_pipelines.store.upsert import insert

_BY_TIME = (releases.c.created_at, releases.c.name, releases.c.version)


Row = dict[str, Any]
"""A row with all its columns, as the audit trail digests it."""


def insert_draft(tx: Transaction, release: Release) -> Row | None:
    """Add a draft; None when the name and version are taken, also by somebody who was quicker just now."""
    row: Row = {
        "name": release.name,
        "version": release.version,
        "state": ReleaseState.DRAFT.value,
        "document": release.canonical().decode(),
        "digest": None,
        "created_at": format_instant(release.created_at),
        "finalized_at": None,
        "revision": 1,
    }
    added = tx.connection.execute(insert(tx, releases).values(row).on_conflict_do_nothing(index_elements=["name", "version"]))
    return row if added.rowcount == 1 else None


def set_identity(tx: Transaction, release: Release, digest: Digest, now: datetime) -> tuple[Row, Row] | None:
    """Turn the draft with exactly this content into a finalized release: its row before and after. None when it is no such draft any more."""
    change = sa.update(releases).where(
        releases.c.name == release.name,
        releases.c.version == release.version,
        releases.c.digest.is_(None),
        releases.c.document == release.canonical().decode(),
    )
    values = {"state": ReleaseState.FINALIZED.value, "digest": digest, "finalized_at": format_instant(now)}
    return _changed(tx, change.values(values), {"state": ReleaseState.DRAFT.value, "digest": None, "finalized_at": None})


def set_state(tx: Transaction, digest: Digest, before: ReleaseState, after: ReleaseState) -> tuple[Row, Row] | None:
    """Move a finalized release on in its life: its row before and after. None when it is not in the state `before` any more."""
    change = sa.update(releases).where(releases.c.digest == digest, releases.c.state == before.value)
    return _changed(tx, change.values(state=after.value), {"state": before.value})


def _changed(tx: Transaction, change: sa.Update, before: Row) -> tuple[Row, Row] | None:
    """Carry out a change of one row. Its condition pins the columns in `before`, and nothing else changes but the revision."""
    found = tx.connection.execute(change.values(revision=releases.c.revision + 1).returning(releases)).mappings().first()
    if found is None:
        return None
    after = dict(found)
    return {**after, **before, "revision": after["revision"] - 1}, after


def delete_draft(tx: Transaction, name: str, version: str) -> Row | None:
    """Remove a draft: the row that is gone. A finalized release stays."""
    draft = sa.delete(releases).where(releases.c.name == name, releases.c.version == version, releases.c.digest.is_(None))
    found = tx.connection.execute(draft.returning(releases)).mappings().first()
    return None if found is None else dict(found)


def by_name(tx: Transaction, name: str, version: str) -> ReleaseRecord | None:
    """The release with this name and version."""
    return _first(tx, sa.select(releases).where(releases.c.name == name, releases.c.version == version))


def by_digest(tx: Transaction, digest: Digest) -> ReleaseRecord | None:
    """The release with this identity."""
    return _first(tx, sa.select(releases).where(releases.c.digest == digest))


def by_digests(tx: Transaction, digests: Collection[Digest]) -> dict[Digest, ReleaseRecord]:
    """The releases that are known among these identities."""
    found = _records(tx, sa.select(releases).where(releases.c.digest.in_(digests))) if digests else []
    return {record.digest: record for record in found if record.digest is not None}


def newest(tx: Transaction, name: str | None, limit: int) -> list[ReleaseRecord]:
    """The newest releases first, of one name or of all."""
    return _values(tx, tx.connection.execute(_newest_first(name).limit(limit)).mappings().all())


def page(tx: Transaction, name: str | None, limit: int, before: ReleaseRecord | None) -> tuple[list[ReleaseRecord], int]:
    """The newest releases first, optionally only those older than `before`; and how many older ones follow (`store/pages.py`)."""
    query = _newest_first(name)
    if before is not None:
        place = (format_instant(before.release.created_at), before.release.name, before.release.version)
        query = query.where(sa.tuple_(*_BY_TIME) < sa.tuple_(*place))
    rows, older = read_page(tx, query, limit)
    return _values(tx, rows), older


def newest_identities(tx: Transaction, limit: int) -> list[Digest]:
    """The identities of the newest releases that have one. Reads no documents: it is asked every few seconds."""
    columns = sa.select(releases.c.digest).order_by(*(column.desc() for column in _BY_TIME)).limit(limit)
    return [Digest(digest) for digest in tx.connection.execute(columns).scalars() if digest is not None]


def _newest_first(name: str | None) -> sa.Select[Any]:
    query = sa.select(releases).order_by(*(column.desc() for column in _BY_TIME))
    return query if name is None else query.where(releases.c.name == name)


def remember_components(tx: Transaction, release: Release) -> None:
    """Note which components releases of this name are made of."""
    rows = [{"name": release.name, "component": component.name} for component in release.components]
    tx.connection.execute(insert(tx, release_components).values(rows).on_conflict_do_nothing())


def components_of_names(tx: Transaction) -> dict[str, tuple[str, ...]]:
    """By name of the releases, every component that a finalized one was ever made of. Grows with the names and not with the releases."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in tx.connection.execute(sa.select(release_components).order_by(release_components.c.name, release_components.c.component)):
        found[row.name].append(row.component)
    return {name: tuple(components) for name, components in found.items()}


def add_push(tx: Transaction, digest: Digest, location: str, now: datetime) -> Row | None:
    """Remember where a release was pushed to; None when that is known already."""
    row = {"release_digest": digest, "location": location, "pushed_at": format_instant(now)}
    added = tx.connection.execute(insert(tx, release_pushes).values(row).on_conflict_do_nothing())
    return row if added.rowcount == 1 else None


def add_report(tx: Transaction, report: SecurityReport) -> Row | None:
    """Remember a report; None when the release has one with these bytes already."""
    row = dict(report.document())
    added = tx.connection.execute(insert(tx, release_reports).values(row).on_conflict_do_nothing(index_elements=["release_digest", "blob"]))
    return row if added.rowcount == 1 else None


def reports_of(tx: Transaction, digest: Digest) -> list[SecurityReport]:
    """The reports given to a release, oldest first."""
    query = sa.select(release_reports).where(release_reports.c.release_digest == digest).order_by(release_reports.c.given_at, release_reports.c.id)
    return [SecurityReport.model_validate(dict(row)) for row in tx.connection.execute(query).mappings()]


def _first(tx: Transaction, query: sa.Select[Any]) -> ReleaseRecord | None:
    return next(iter(_records(tx, query)), None)


def _records(tx: Transaction, query: sa.Select[Any]) -> list[ReleaseRecord]:
    return _values(tx, tx.connection.execute(query).mappings().all())


def _values(tx: Transaction, rows: Sequence[Mapping[Any, Any]]) -> list[ReleaseRecord]:
    pushed = _pushes(tx, [row["digest"] for row in rows if row["digest"] is not None])
    return [
        ReleaseRecord(
            release=Release.model_validate_json(row["document"]),
            state=ReleaseState(row["state"]),
            digest=row["digest"],
            finalized_at=row["finalized_at"],
            pushed_to=tuple(pushed[row["digest"]]),
        )
        for row in rows
    ]


def _pushes(tx: Transaction, digests: Sequence[str]) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = defaultdict(list)
    query = sa.select(release_pushes).where(release_pushes.c.release_digest.in_(digests)).order_by(release_pushes.c.pushed_at, release_pushes.c.location)
    for row in tx.connection.execute(query).mappings() if digests else ():
        found[row["release_digest"]].append(row["location"])
    return found
