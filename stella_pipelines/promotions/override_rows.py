"""Reading and writing overrides. SQL only; no rules."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.promotions.errors import OverrideMissing
from stella_pipelines.promotions.overrides import Override
from stella_pipelines.promotions.tables import overrides
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.errors import Conflict


def add(tx: Transaction, override: Override) -> None:
    """Store what the first person asked for."""
    tx.connection.execute(sa.insert(overrides).values(override_row(override)))


def save(tx: Transaction, after: Override) -> None:
    """Compare and swap: written only over the revision before."""
    statement = sa.update(overrides).where(overrides.c.id == after.id, overrides.c.revision == after.revision - 1)
    if tx.connection.execute(statement.values(override_row(after))).rowcount != 1:
        raise Conflict(f"Override {after.id} was changed by somebody else in the meantime.", next_step="Look at it again with 'stella override list'.")


def get(tx: Transaction, override_id: str) -> Override:
    """The override with this id."""
    found = tx.connection.execute(sa.select(overrides.c.document).where(overrides.c.id == override_id)).scalar()
    if found is None:
        raise OverrideMissing(f"There is no override {override_id[:80]!r}.", next_step="'stella override list' lists them.")
    return Override.model_validate_json(found)


def about(tx: Transaction, environment: str, release: Digest, plan: Digest) -> list[Override]:
    """Every override of a gate's word about this plan."""
    same = (overrides.c.environment == environment, overrides.c.release_digest == release, overrides.c.plan_digest == plan)
    return [Override.model_validate_json(document) for document in tx.connection.execute(sa.select(overrides.c.document).where(*same)).scalars()]


def newest(tx: Transaction, environment: str | None, limit: int, *, to_review: bool) -> list[Override]:
    """Overrides, newest first; optionally those of one environment, or those that left a task."""
    query = sa.select(overrides.c.document).order_by(overrides.c.id.desc()).limit(limit)
    if environment is not None:
        query = query.where(overrides.c.environment == environment)
    if to_review:
        query = query.where(overrides.c.to_review.is_(True))
    return [Override.model_validate_json(document) for document in tx.connection.execute(query).scalars()]


def override_row(override: Override) -> dict[str, Any]:
    """The row of an override, with all its columns."""
    return {
        "id": override.id,
        "promotion_id": override.promotion_id,
        "environment": override.overruled.environment,
        "release_digest": override.overruled.release.digest,
        "plan_digest": override.overruled.plan_digest,
        "to_review": override.to_review,
        "revision": override.revision,
        "document": override.canonical().decode(),
    }
