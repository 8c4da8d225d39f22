"""Past deployments as the promotions room asks about them (`promotions/history.py` says the question), and what is in use now."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import observing, records
from stella_pipelines.deployments.model import DeploymentRecord, TargetState
from stella_pipelines.deployments.tables import deployments, ledger
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.promotions.records import live_promotions
from stella_pipelines.store.database import Transaction


class StoredHistory:
    """Answers from the store. `healthy` is what the last look at the environment said, if it still runs that very release."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def last_proven(self, tx: Transaction, environment: str, release_digest: Digest) -> ProvenDeployment | None:
        """The newest proven deployment of this very release there, or None when it never got there."""
        return self._proven(tx, records.newest_proven(tx, environment, release=release_digest))

    def newest_proven(self, tx: Transaction, environment: str) -> ProvenDeployment | None:
        """What was proven in the environment last, whatever release it was."""
        return self._proven(tx, records.newest_proven(tx, environment))

    def _proven(self, tx: Transaction, record: DeploymentRecord | None) -> ProvenDeployment | None:
        if record is None:
            return None
        deployed_at = record.ended_at or self._clock.now()
        seen = observing.last(tx, record.environment)
        runs_it = seen is not None and seen.release_digest == record.release_digest
        return ProvenDeployment(
            deployment_id=record.id,
            release_digest=record.release_digest,
            deployed_at=deployed_at,
            healthy=seen.healthy if seen and runs_it else False,
            observed_at=seen.observed_at if seen else deployed_at,
            healthy_since=seen.healthy_since if seen and runs_it and seen.healthy else None,
        )


def in_use(tx: Transaction) -> Mapping[str, str]:
    """What must not leave the estate now, and why: environments with a live promotion, environments and targets of deployments that have not ended."""
    found = {f"environment/{live.environment}": f"promotion {live.id} of {live.release_label} is {live.state}" for live in live_promotions(tx)}
    for record in records.all_unfinished(tx):
        reason = f"deployment {record.id} has not ended"
        found[f"environment/{record.environment}"] = reason
        found |= {f"target/{target}": reason for target in observing.targets_of(tx, record)}
    return found


def still_running(tx: Transaction, environment: str) -> Mapping[str, str]:
    """Which targets still run what was proven on them last, and which deployment left it there.

    That is not always the environment's newest deployment: a target within its failure budget went back to what an earlier one had proven.
    """
    proven = (deployments.c.environment == environment, ledger.c.state == TargetState.SUCCEEDED)
    query = sa.select(ledger.c.target, deployments.c.id, deployments.c.release_digest).join(deployments, deployments.c.id == ledger.c.deployment_id)
    oldest_first = tx.connection.execute(query.where(*proven).order_by(deployments.c.sequence))
    return {row.target: f"what deployment {row.id} left there (release {row.release_digest})" for row in oldest_first}
