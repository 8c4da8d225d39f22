"""Carrying a deployment out: from wherever its journal ends, through the engine and a last look at the targets, to its sealed end."""

from __future__ import annotations

from stella_pipelines.core.clock import Clock
from stella_pipelines.deployments import journal, ledger, observing
from stella_pipelines.deployments.artifacts import Artifacts, read_artifacts
from stella_pipelines.deployments.authority import Authority
from stella_pipelines.deployments.connections import Connectors
from stella_pipelines.deployments.course import Course
from stella_pipelines.deployments.ending import Ender, final_rows
from stella_pipelines.deployments.engine import Engine, ProgressListener, rollout_of
from stella_pipelines.deployments.events import Outcome
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.model import DeploymentRecord, EnvironmentObservation, Progress
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.shards import Shard
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
        artifacts = await patiently(lambda: self._artifacts(record))
        course = await patiently(lambda: self._course(record, artifacts, authority))
        engine = Engine(self._store, self._clock, authority, artifacts, course, connectors=self._connectors, listener=listener)
        rollout = await engine.drive(abort)
        seen = await self._last_look(record, artifacts, rollout)
        ended = await patiently(lambda: self._ender.end(record.id, artifacts, rollout, seen, authority))
        listener(_end_of(ended, rollout))
        return ended

    async def carry_share(self, record: DeploymentRecord, authority: Authority, listener: ProgressListener, shard: Shard) -> Rollout:
        """The rollout's end, after this process did what is its own of it. The environment is held by the work that this is a part of."""
        manifest = await patiently(lambda: self._artifacts(record, frozenset()))
        own, course = await patiently(lambda: self._share(record, manifest, authority, shard))

        def more(targets: frozenset[str]) -> Artifacts:
            return self._artifacts(record, targets)

        artifacts = await patiently(lambda: more(own))
        engine = Engine(self._store, self._clock, authority, artifacts, course, connectors=self._connectors, listener=listener, more=more)
        return await engine.drive()

    def _artifacts(self, record: DeploymentRecord, only: frozenset[str] | None = None) -> Artifacts:
        assert record.artifacts_digest is not None
        with self._store.reading() as tx:
            return read_artifacts(record.artifacts_digest, lambda digest: blobs.get(tx, digest), only)

    def _course(self, record: DeploymentRecord, artifacts: Artifacts, authority: Authority) -> Course:
        """The course as the journal left it, with every target's lease: under the new tokens an older engine can do nothing more."""
        with self._store.writing() as tx:
            authority.hold(tx, None, self._clock.now())
            authority.take_targets(tx, artifacts.orders, self._clock.now())
            return Course(record.id, rollout_of(artifacts), journal.read(tx, record.id))

    def _share(self, record: DeploymentRecord, manifest: Artifacts, authority: Authority, shard: Shard) -> tuple[frozenset[str], Course]:
        """The leases of the shard's targets that nobody else at work has taken over, and the course."""
        beginning = rollout_of(manifest)
        names = shard.of([progress.target for progress in beginning.targets])
        with self._store.writing() as tx:
            authority.join_environment(tx, self._clock.now())
            own = authority.free_targets(tx, names, self._clock.now())
            authority.take_targets(tx, own, self._clock.now())
            return own, Course(record.id, beginning, journal.read(tx, record.id))

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
