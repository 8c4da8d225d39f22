"""The rows of releases: reading them as values, and the few changes that are possible. Every function takes an open transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.releases.model import Release, ReleaseRecord, ReleaseState
from stella_pipelines.releases.reports import SecurityReport
from stella_pipelines.releases.tables import release_pushes, release_reports, releases
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.upsert import insert


def insert_draft(tx: Transaction, release: Release) -> bool:
    """Add a draft; False when the name and version are taken, also by somebody who was quicker just now."""
    row = {
        "name": release.name,
        "version": release.version,
        "state": ReleaseState.DRAFT.value,
        "document": release.canonical().decode(),
        "created_at": format_instant(release.created_at),
        "revision": 1,
    }
    added = tx.connection.execute(insert(tx, releases).values(row).on_conflict_do_nothing(index_elements=["name", "version"]))
    return added.rowcount == 1


def set_identity(tx: Transaction, release: Release, digest: Digest, now: datetime) -> bool:
    """Turn the draft with exactly this content into a finalized release; False when it is no such draft any more."""
    change = sa.update(releases).where(
        releases.c.name == release.name,
        releases.c.version == release.version,
        releases.c.digest.is_(None),
        releases.c.document == release.canonical().decode(),
    )
    values = {"state": ReleaseState.FINALIZED.value, "digest": digest, "finalized_at": format_instant(now), "revision": releases.c.revision + 1}
    return tx.connection.execute(change.values(values)).rowcount == 1


def set_state(tx: Transaction, digest: Digest, before: ReleaseState, after: ReleaseState) -> bool:
    """Move a finalized release on in its life; False when it is not in the state `before` any more."""
    change = sa.update(releases).where(releases.c.digest == digest, releases.c.state == before.value)
    return tx.connection.execute(change.values(state=after.value, revision=releases.c.revision + 1)).rowcount == 1


def delete_draft(tx: Transaction, name: str, version: str) -> None:
    """Remove a draft; a finalized release stays."""
    tx.connection.execute(sa.delete(releases).where(releases.c.name == name, releases.c.version == version, releases.c.digest.is_(None)))


def by_name(tx: Transaction, name: str, version: str) -> ReleaseRecord | None:
    """The release with this name and version."""
    return _first(tx, sa.select(releases).where(releases.c.name == name, releases.c.version == version))


def by_digest(tx: Transaction, digest: Digest) -> ReleaseRecord | None:
    """The release with this identity."""
    return _first(tx, sa.select(releases).where(releases.c.digest == digest))


def newest(tx: Transaction, name: str | None, limit: int) -> list[ReleaseRecord]:
    """The newest releases first, of one name or of all."""
    query = sa.select(releases).order_by(releases.c.created_at.desc(), releases.c.name, releases.c.version).limit(limit)
    return _records(tx, query if name is None else query.where(releases.c.name == name))


def add_push(tx: Transaction, digest: Digest, location: str, now: datetime) -> bool:
    """Remember where a release was pushed to; False when that is known already."""
    row = {"release_digest": digest, "location": location, "pushed_at": format_instant(now)}
    return tx.connection.execute(insert(tx, release_pushes).values(row).on_conflict_do_nothing()).rowcount == 1


def add_report(tx: Transaction, report: SecurityReport) -> bool:
    """Remember a report; False when the release has one with these bytes already."""
    statement = insert(tx, release_reports).values(report.document()).on_conflict_do_nothing(index_elements=["release_digest", "blob"])
    return tx.connection.execute(statement).rowcount == 1


def reports_of(tx: Transaction, digest: Digest) -> list[SecurityReport]:
    """The reports given to a release, oldest first."""
    query = sa.select(release_reports).where(release_reports.c.release_digest == digest).order_by(release_reports.c.given_at, release_reports.c.id)
    return [SecurityReport.model_validate(dict(row)) for row in tx.connection.execute(query).mappings()]


def _first(tx: Transaction, query: sa.Select[Any]) -> ReleaseRecord | None:
    return next(iter(_records(tx, query)), None)


def _records(tx: Transaction, query: sa.Select[Any]) -> list[ReleaseRecord]:
    rows = tx.connection.execute(query).mappings().all()
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
