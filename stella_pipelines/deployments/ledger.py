"""The ledger: one row per target that a person reads. It is written in the transaction of the journal row that changed it."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from stella_pipelines.connectors.port import Observation
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.artifacts import TargetOrder
from stella_pipelines.deployments.journal import JournalRow
from stella_pipelines.deployments.model import LedgerRow, TargetState
from stella_pipelines.deployments.progress import Stage, StepKind, TargetProgress
from stella_pipelines.deployments.state import Phase, Rollout
from stella_pipelines.deployments.tables import ledger
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.upsert import insert

_STATES = {
    Stage.PENDING: TargetState.PENDING,
    Stage.PREPARED: TargetState.PENDING,
    Stage.ACTIVATED: TargetState.RUNNING,
    Stage.HEALTHY: TargetState.RUNNING,
    Stage.PROVEN: TargetState.SUCCEEDED,
    Stage.RETIRED: TargetState.SUCCEEDED,
    Stage.FAILED: TargetState.FAILED,
    Stage.RESTORED: TargetState.RUNNING,
    Stage.ROLLED_BACK: TargetState.ROLLED_BACK,
    Stage.RESTORE_FAILED: TargetState.ROLLBACK_FAILED,
}


def new_row(order: TargetOrder) -> LedgerRow:
    """The row of a target to which nothing has happened."""
    return LedgerRow(
        deployment_id=order.spec.deployment_id,
        target=order.target.name,
        state=TargetState.PENDING,
        stage=Stage.PENDING,
        desired={change.name: change.wanted_digest for change in order.changes},
        previous={change.name: change.current_digest for change in order.changes},
    )


def after(row: LedgerRow, entry: JournalRow, rollout: Rollout) -> LedgerRow:
    """The row after a journal entry about its target. Pure."""
    progress = rollout.progress(row.target)
    begins = entry.phase == "intent"
    ends = not begins and entry.step in (StepKind.PROVE_DIGEST, StepKind.PROVE_RESTORED)
    changes = {
        "attempted": (*row.attempted, entry.step) if begins and entry.step not in row.attempted else row.attempted,
        "started_at": row.started_at or (entry.at if begins and entry.step == StepKind.ACTIVATE else None),
        "ended_at": entry.at if ends or (entry.failure and not begins) else row.ended_at,
        "log": entry.log or row.log,
    }
    return settled(row.model_copy(update=changes), rollout, entry.observation).model_copy(
        update={"failure": progress.failure, "restore_failure": progress.restore_failure}
    )


def settled(row: LedgerRow, rollout: Rollout, observed: Observation | None) -> LedgerRow:
    """The row as the rollout stands, with what the target itself showed, if it was asked."""
    progress = rollout.progress(row.target)
    changes: dict[str, object] = {"state": _state(progress, rollout), "stage": progress.stage}
    if observed is not None:
        changes |= {"observed": {name: _digest(observed, name) for name in row.desired}, "observed_at": observed.observed_at}
    return row.model_copy(update=changes)


def _state(progress: TargetProgress, rollout: Rollout) -> TargetState:
    if rollout.phase is Phase.ENDED:
        untouched = progress.stage in (Stage.PENDING, Stage.PREPARED)
        return TargetState.UNTOUCHED if untouched else _STATES[progress.stage]
    goes_back = rollout.phase is Phase.RESTORING and progress.needs_way_back
    changing = progress.doing not in (None, StepKind.PREPARE, StepKind.RETIRE)
    return TargetState.RUNNING if goes_back or changing else _STATES[progress.stage]


def _digest(observed: Observation, component: str) -> Digest | None:
    running = observed.running(component)
    return running.platform_digest if running else None


def write(tx: Transaction, rows: Iterable[LedgerRow]) -> None:
    """Store the rows."""
    for row in rows:
        values = {"deployment_id": row.deployment_id, "target": row.target, "state": row.state, "stage": row.stage, "document": row.canonical().decode()}
        changed = {name: values[name] for name in ("state", "stage", "document")}
        tx.connection.execute(insert(tx, ledger).values(**values).on_conflict_do_update(index_elements=["deployment_id", "target"], set_=changed))


def read(tx: Transaction, deployment_id: str) -> list[LedgerRow]:
    """The rows of a deployment, by target."""
    query = sa.select(ledger.c.document).where(ledger.c.deployment_id == deployment_id).order_by(ledger.c.target)
    return [LedgerRow.model_validate_json(document) for document in tx.connection.execute(query).scalars()]


def counts(tx: Transaction, deployment_id: str) -> dict[TargetState, int]:
    """How many targets are in which state, for somebody who watches and asks again and again."""
    query = sa.select(ledger.c.state, sa.func.count()).where(ledger.c.deployment_id == deployment_id).group_by(ledger.c.state)
    return {TargetState(state): count for state, count in tx.connection.execute(query)}


def read_one(tx: Transaction, deployment_id: str, target: str) -> LedgerRow:
    """One target's row."""
    query = sa.select(ledger.c.document).where(ledger.c.deployment_id == deployment_id, ledger.c.target == target)
    return LedgerRow.model_validate_json(tx.connection.execute(query).scalar_one())
