"""Looking at an environment: what its targets run now, against what was proven there last. The targets are the truth; the store has a date."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stella_pipelines.connectors.port import ComponentSpec, Health, Observation
from stella_pipelines.core.clock import Clock, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import FANOUT_MAX
from stella_pipelines.core.values import Value
from stella_pipelines.deployments import ledger, records
from stella_pipelines.deployments.artifacts import read_artifacts
from stella_pipelines.deployments.connections import Connections, Connectors
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.limits import LOOK_TIMEOUT_S, OBSERVATION_GAP_S_MAX
from stella_pipelines.deployments.model import DeploymentRecord, EnvironmentObservation, LedgerRow, TargetObservation, TargetState
from stella_pipelines.deployments.reaching import reach
from stella_pipelines.deployments.tables import observations
from stella_pipelines.environments.model import Target
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.upsert import insert

Wanted = dict[str, tuple[ComponentSpec, ...]]
"""By target: the components as they were proven last."""


class Expected(Value):
    """What an environment should run, and which deployment proved it last."""

    deployment_id: str | None = None
    release_digest: Digest | None = None
    targets: Wanted = {}


def expected_now(tx: Transaction, environment: str) -> Expected:
    """What the newest proven deployment left on the targets."""
    record = records.newest_proven(tx, environment)
    return Expected() if record is None else expected_after(tx, record, ledger.read(tx, record.id))


def expected_after(tx: Transaction, record: DeploymentRecord, rows: Sequence[LedgerRow]) -> Expected:
    """What a deployment with this ledger leaves on the targets. A retry stands on the deployment that it retries."""
    wanted, earlier = _proven(tx, record, rows), record.retry_of
    while earlier is not None:
        retried = records.get(tx, earlier)
        wanted = {**_proven(tx, retried, ledger.read(tx, retried.id)), **wanted}
        earlier = retried.retry_of
    return Expected(deployment_id=record.id, release_digest=record.release_digest, targets=wanted)


def _proven(tx: Transaction, record: DeploymentRecord, rows: Sequence[LedgerRow]) -> Wanted:
    if record.artifacts_digest is None:
        return {}
    orders = read_artifacts(record.artifacts_digest, lambda digest: blobs.get(tx, digest)).orders
    return {row.target: orders[row.target].spec.components for row in rows if row.state is TargetState.SUCCEEDED}


# ---------------------------------------------------------------- looking


async def look(environment: str, targets: Sequence[Target], expected: Expected, connectors: Connectors, clock: Clock) -> EnvironmentObservation:
    """Ask every target at the same time. A target that does not answer is neither as released nor healthy."""
    places = asyncio.Semaphore(FANOUT_MAX)
    async with Connections({target.name: target for target in targets}, connectors) as connections:

        async def one(target: Target) -> TargetObservation:
            async with places:
                return await _look_at(target.name, expected.targets.get(target.name, ()), connections, clock)

        seen = await asyncio.gather(*(one(target) for target in targets))
    return EnvironmentObservation(
        environment=environment,
        observed_at=clock.now(),
        deployment_id=expected.deployment_id,
        release_digest=expected.release_digest,
        targets=tuple(seen),
    )


async def _look_at(target: str, wanted: tuple[ComponentSpec, ...], connections: Connections, clock: Clock) -> TargetObservation:
    async def call() -> tuple[Observation, tuple[Health, ...]]:
        connector = await connections.to(target)
        observed = await connector.observe(clock.now())
        return observed, tuple([await connector.health(component, clock.now()) for component in wanted])

    try:
        observed, healths = await reach(call, lambda: connections.drop(target), LOOK_TIMEOUT_S)
    except StellaError as error:
        return TargetObservation(target=target, observation=None, failure=Failure.of(error, target))
    return TargetObservation(
        target=target,
        observation=observed,
        as_released=bool(wanted) and all(_runs(observed, component) for component in wanted),
        healthy=bool(wanted) and all(health is Health.HEALTHY for health in healths),
    )


def _runs(observed: Observation, component: ComponentSpec) -> bool:
    running = observed.running(component.name)
    return running is not None and running.platform_digest == component.platform_digest


# ---------------------------------------------------------------- remembering


def save(tx: Transaction, seen: EnvironmentObservation, *, disturbed: bool = False) -> EnvironmentObservation:
    """Remember the look at the end of a deployment. It was not judged for drift: what was said about that last goes on."""
    before = last(tx, seen.environment)
    return remember(tx, before, seen.model_copy(update={"drift": before.drift if before else None}), disturbed=disturbed)


def remember(tx: Transaction, before: EnvironmentObservation | None, seen: EnvironmentObservation, *, disturbed: bool = False) -> EnvironmentObservation:
    """Remember the newest look in the place of the one before. `disturbed`: targets were changed in between, and are as they were before."""
    kept = seen.model_copy(update={"healthy_since": healthy_since(None if disturbed else before, seen)})
    values = {
        "environment": kept.environment,
        "deployment_id": kept.deployment_id,
        "release_digest": kept.release_digest,
        "observed_at": format_instant(kept.observed_at),
        "healthy": kept.healthy,
        "healthy_since": _instant(kept.healthy_since),
        "document": kept.canonical().decode(),
    }
    statement = insert(tx, observations).values(**values, revision=1)
    newer: dict[str, Any] = {**values, "revision": observations.c.revision + 1}
    tx.connection.execute(statement.on_conflict_do_update(index_elements=["environment"], set_=newer))
    return kept


def healthy_since(before: EnvironmentObservation | None, seen: EnvironmentObservation) -> datetime | None:
    """Since when the environment was seen healthy without a break, or None. Pure.

    The time goes on only for the same deployment and while somebody looked: nobody knows what happened in a longer gap.
    """
    if not seen.healthy:
        return None
    if before is None or before.healthy_since is None or before.deployment_id != seen.deployment_id:
        return seen.observed_at
    gap_s = (seen.observed_at - before.observed_at).total_seconds()
    # A look before the last one means that the clock was ahead then, and its times with it.
    return before.healthy_since if 0 <= gap_s <= OBSERVATION_GAP_S_MAX else seen.observed_at


def last(tx: Transaction, environment: str, *, locked: bool = False) -> EnvironmentObservation | None:
    """The newest look at an environment. `locked`: nobody else remembers another one before this transaction has ended."""
    query = sa.select(observations.c.document).where(observations.c.environment == environment)
    document = tx.connection.execute(query.with_for_update() if locked else query).scalar()
    return EnvironmentObservation.model_validate_json(document) if document is not None else None


def by_target(seen: EnvironmentObservation) -> Mapping[str, TargetObservation]:
    """The targets' answers by name."""
    return {target.target: target for target in seen.targets}


def _instant(moment: datetime | None) -> str | None:
    return format_instant(moment) if moment else None


def targets_of(tx: Transaction, record: DeploymentRecord) -> tuple[str, ...]:
    """The targets of a deployment."""
    return tuple(row.target for row in ledger.read(tx, record.id))
