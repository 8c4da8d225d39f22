"""Which targets a retry means, and which release a rollback means: read from the rows, refused when there is no good answer."""

from __future__ import annotations

from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import ledger, records
from stella_pipelines.deployments.errors import NothingToRetry, NotProven
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, TargetState
from stella_pipelines.store.database import Transaction

_RETRIED = (DeploymentState.SUCCEEDED, DeploymentState.FAILED)
"""A deployment that went back as a whole is not retried: it needs a new promotion, whose gates look at it again."""


def failed_targets(tx: Transaction, record: DeploymentRecord) -> tuple[str, ...]:
    """The targets of the environment's newest deployment on which it did not succeed."""
    newest = records.newest(tx, record.environment)
    failed = tuple(row.target for row in ledger.read(tx, record.id) if row.state is not TargetState.SUCCEEDED)
    if newest is None or newest.id != record.id or record.state not in _RETRIED or not failed:
        why = "it has no failed targets" if not failed else f"it is {record.state}" if newest == record else "a newer deployment followed"
        raise NothingToRetry(f"Deployment {record.id} cannot be retried: {why}.", next_step="Promote the release again, or roll the environment back.")
    return failed


def way_back(tx: Transaction, environment: str, to: Digest | None) -> DeploymentRecord:
    """The proven deployment to go back to: of the given release if it was ever proven here, or the one before what runs now."""
    newest, proven = _counting(tx, records.newest(tx, environment)), records.newest_proven(tx, environment)
    if to is not None:
        found = records.newest_proven(tx, environment, release=to)
    elif newest is not None and proven is not None and newest.id != proven.id and newest.state is not DeploymentState.ROLLED_BACK:
        found = proven  # the newest deployment left the environment half way
    else:
        found = _before(tx, proven) if proven else None
    if found is None:
        what = f"{to} was never proven in {environment}" if to else f"{environment} has no earlier proven release"
        raise NotProven(f"There is nothing to roll back to: {what}.", next_step="Name a release that ran here before, or promote one.")
    return found


def _counting(tx: Transaction, newest: DeploymentRecord | None) -> DeploymentRecord | None:
    """The deployment that says how the environment was left: a retry that was rolled back left it as what it retried had."""
    while newest is not None and newest.retry_of is not None and newest.state is DeploymentState.ROLLED_BACK:
        newest = records.get(tx, newest.retry_of)
    return newest


def _before(tx: Transaction, proven: DeploymentRecord) -> DeploymentRecord | None:
    """What was proven before the release that runs now came. A rollback steps behind it, so a second one goes further back and never forward."""
    arrived = proven
    while arrived.kind == "rollback":
        earlier = records.newest_proven(tx, arrived.environment, release=arrived.release_digest, before=arrived.sequence)
        if earlier is None:
            break
        arrived = earlier
    return records.newest_proven(tx, arrived.environment, other_than=arrived.release_digest, before=arrived.sequence)
