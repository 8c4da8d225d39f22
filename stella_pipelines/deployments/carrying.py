"""Carrying a deployment out: from wherever its journal ends, through the engine and a last look at the targets, to its sealed end."""

from __future__ import annotations

from stella_pipelines.core.clock import Clock
from stella_pipelines.deployments import journal, ledger, observing
from stella_pipelines.deployments.artifacts import Artifacts, read_artifacts
from stella_pipelines.deployments.authority import Authority
from stella_pipelines.deployments.connections import Connectors
from stella_pipelines.deployments.ending import Ender, final_rows
from stella_pipelines.deployments.engine import Engine, ProgressListener
from stella_pipelines.deployments.events import Outcome
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.model import DeploymentRecord, EnvironmentObservation, Progress
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.state import Phase, Rollout
from stella_pipelines.environments.service import Environments
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store


class Carrier:
    """Brings deployments to their end."""

    def __init__(self, store: Store, environments: Environments, connectors: Connectors, clock: Clock, *, ender: Ender) -> None:
        self._store = store
        self._environments = environments
        self._connectors = connectors
        self._clock = clock
        self._ender = ender

    async def carry_out(self, record: DeploymentRecord, authority: Authority, listener: ProgressListener, abort: Failure | None = None) -> DeploymentRecord:
        """The ended deployment. The caller's authority holds the environment; `abort` asks for the way back."""
        engine, artifacts = await patiently(lambda: self._engine(record, authority, listener))
        rollout = await engine.drive(abort)
        seen = await self._last_look(record, artifacts, rollout)
        ended = await patiently(lambda: self._ender.end(record.id, artifacts, rollout, seen, authority))
        listener(_end_of(ended, rollout))
        return ended

    def _engine(self, record: DeploymentRecord, authority: Authority, listener: ProgressListener) -> tuple[Engine, Artifacts]:
        """The engine as the journal left it, with every target's lease: under the new tokens an older engine can do nothing more."""
        assert record.artifacts_digest is not None
        with self._store.writing() as tx:
            artifacts = read_artifacts(record.artifacts_digest, lambda digest: blobs.get(tx, digest))
            authority.hold(tx, None, self._clock.now())
            authority.take_targets(tx, list(artifacts.orders), self._clock.now())
            rows, ledger_rows = journal.read(tx, record.id), ledger.read(tx, record.id)
        engine = Engine(
            self._store,
            self._clock,
            authority,
            artifacts,
            connectors=self._connectors,
            rows=rows,
            ledger_rows=ledger_rows,
            listener=listener,
        )
        return engine, artifacts

    async def _last_look(self, record: DeploymentRecord, artifacts: Artifacts, rollout: Rollout) -> EnvironmentObservation:
        """What the whole environment runs now that the rollout has ended."""

        def expectation() -> observing.Expected:
            with self._store.reading() as tx:
                if rollout.outcome is Outcome.SUCCEEDED:
                    return observing.expected_after(tx, record, final_rows(ledger.read(tx, record.id), rollout))
                return observing.expected_now(tx, record.environment)

        expected = await patiently(expectation)
        current = self._environments.current()[0].targets_of(record.environment)
        targets = {target.name: target for target in current} | {name: order.target for name, order in artifacts.orders.items()}
        return await observing.look(record.environment, list(targets.values()), expected, self._connectors, self._clock)


def _end_of(ended: DeploymentRecord, rollout: Rollout) -> Progress:
    total = len(rollout.targets)
    return Progress(
        deployment_id=ended.id,
        environment=ended.environment,
        phase=Phase.ENDED,
        settled=total,
        total=total,
        event="ended",
        message=f"{ended.state}{': ' + ended.failure.what if ended.failure else ''}",
    )
