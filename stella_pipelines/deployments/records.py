"""The rows of deployments: insert, find, end. A row is changed once in its life, when the deployment ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.errors import DeploymentMissing
from stella_pipelines.deployments.limits import DEPLOYMENTS_LISTED_MAX
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState
from stella_pipelines.deployments.tables import IS_UNFINISHED, deployments
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.errors import Conflict

_NEWEST_FIRST = deployments.c.sequence.desc()


def next_sequence(tx: Transaction, environment: str) -> int:
    """The number of the environment's next deployment. The caller holds the environment's lease."""
    newest = tx.connection.execute(sa.select(sa.func.max(deployments.c.sequence)).where(deployments.c.environment == environment)).scalar()
    return (newest or 0) + 1


def insert(tx: Transaction, record: DeploymentRecord) -> None:
    """Write a new deployment. A second one that has not ended, in the same environment, is a `Conflict`."""
    tx.connection.execute(sa.insert(deployments).values(deployment_row(record)))


def save_end(tx: Transaction, ended: DeploymentRecord) -> None:
    """Write how it ended, if nobody else did (compare and swap on the revision)."""
    where = (deployments.c.id == ended.id, deployments.c.revision == ended.revision - 1)
    done = tx.connection.execute(sa.update(deployments).where(*where).values(deployment_row(ended)))
    if done.rowcount != 1:
        raise Conflict(f"Deployment {ended.id} was ended by somebody else.", next_step="Look at it again with 'stella status'.")


def get(tx: Transaction, deployment_id: str) -> DeploymentRecord:
    """The deployment with this id."""
    found = _first(tx, sa.select(deployments).where(deployments.c.id == deployment_id))
    if found is None:
        raise DeploymentMissing(f"There is no deployment {deployment_id[:80]!r}.", next_step="List the deployments of the environment.")
    return found


def of_promotion(tx: Transaction, promotion_id: str) -> DeploymentRecord | None:
    """The newest deployment that a promotion started, not counting retries."""
    query = sa.select(deployments).where(deployments.c.promotion_id == promotion_id, deployments.c.kind == "promotion")
    return _first(tx, query.order_by(_NEWEST_FIRST))


def unfinished(tx: Transaction, environment: str) -> DeploymentRecord | None:
    """The environment's deployment that has not ended."""
    return _first(tx, sa.select(deployments).where(deployments.c.environment == environment, IS_UNFINISHED))


def all_unfinished(tx: Transaction) -> list[DeploymentRecord]:
    """Every deployment that has not ended."""
    rows = tx.connection.execute(sa.select(deployments).where(IS_UNFINISHED)).mappings()
    return [_record(row) for row in rows]


def newest(tx: Transaction, environment: str) -> DeploymentRecord | None:
    """The newest deployment that touched anything, whatever its outcome."""
    query = sa.select(deployments).where(deployments.c.environment == environment, deployments.c.state != DeploymentState.REFUSED)
    return _first(tx, query.order_by(_NEWEST_FIRST))


def newest_proven(
    tx: Transaction, environment: str, *, release: Digest | None = None, other_than: Digest | None = None, before: int | None = None
) -> DeploymentRecord | None:
    """The newest deployment that proved its digests; optionally of one release, of any other than one, and below a sequence number."""
    query = sa.select(deployments).where(deployments.c.environment == environment, deployments.c.state == DeploymentState.SUCCEEDED)
    if release is not None:
        query = query.where(deployments.c.release_digest == release)
    if other_than is not None:
        query = query.where(deployments.c.release_digest != other_than)
    if before is not None:
        query = query.where(deployments.c.sequence < before)
    return _first(tx, query.order_by(_NEWEST_FIRST))


def newest_proven_of_each(tx: Transaction, environments: Sequence[str]) -> dict[str, DeploymentRecord]:
    """The newest deployment that proved its digests, by environment: one statement, and one look into the index for each environment."""
    wanted = sa.values(sa.column("environment", sa.Text), name="names").data([(name,) for name in environments]).cte("wanted")
    proven = deployments.alias("proven")
    newest = sa.select(proven.c.sequence).where(proven.c.environment == wanted.c.environment, proven.c.state == DeploymentState.SUCCEEDED)
    sequence = newest.order_by(proven.c.sequence.desc()).limit(1).scalar_subquery()
    same = (deployments.c.environment == wanted.c.environment) & (deployments.c.sequence == sequence)
    rows = tx.connection.execute(sa.select(deployments).select_from(wanted.join(deployments, same))).mappings() if environments else ()
    return {row["environment"]: _record(row) for row in rows}


def newest_of(tx: Transaction, environment: str | None, limit: int) -> list[DeploymentRecord]:
    """Deployments, newest first; of one environment by its sequence, of all by the time they began."""
    query = sa.select(deployments).limit(min(limit, DEPLOYMENTS_LISTED_MAX))
    if environment is None:
        query = query.order_by(deployments.c.started_at.desc(), deployments.c.id.desc())
    else:
        query = query.where(deployments.c.environment == environment).order_by(_NEWEST_FIRST)
    return [_record(row) for row in tx.connection.execute(query).mappings()]


def _first(tx: Transaction, query: sa.Select[Any]) -> DeploymentRecord | None:
    row = tx.connection.execute(query.limit(1)).mappings().first()
    return _record(row) if row is not None else None


def deployment_row(record: DeploymentRecord) -> dict[str, Any]:
    """The row of a deployment, with all its columns."""
    plain = {name: getattr(record, name) for name in DeploymentRecord.model_fields}
    return plain | {
        "actor": record.actor.canonical().decode(),
        "failure": record.failure.canonical().decode() if record.failure else None,
        "started_at": format_instant(record.started_at),
        "ended_at": format_instant(record.ended_at) if record.ended_at else None,
    }


def _record(row: Mapping[Any, Any]) -> DeploymentRecord:
    documents = {name: _parsed(row[name]) for name in ("actor", "failure")}
    return DeploymentRecord.model_validate({**row, **documents})


def _parsed(document: str | None) -> Any:
    return None if document is None else json.loads(document)
