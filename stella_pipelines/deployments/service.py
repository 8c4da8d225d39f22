"""The deployments room as the floors above see it: plan, run (start or resume), retry, roll back, observe, look up.

A use case takes the environment's lease, finds or opens the deployment, lets the engine drive it, looks at the targets once more, and ends
it. All of it may be repeated after a crash at any point. Which rules a rollout follows stands in `rollout.py`, not here.
"""

from __future__ import annotations

import builtins

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.deployments import choosing, records, refusals
from stella_pipelines.deployments.artifacts import DecisionNote
from stella_pipelines.deployments.authority import Authority, Gone, nobody_gone
from stella_pipelines.deployments.beginning import Beginner
from stella_pipelines.deployments.carrying import Carrier
from stella_pipelines.deployments.connections import Connectors
from stella_pipelines.deployments.drift_watch import DriftWatch
from stella_pipelines.deployments.ending import Ender, decision_of
from stella_pipelines.deployments.engine import ProgressListener
from stella_pipelines.deployments.known import KnownSpecs
from stella_pipelines.deployments.leasing import Leasing
from stella_pipelines.deployments.looking import Looks
from stella_pipelines.deployments.model import DeploymentKind, DeploymentRecord, DeploymentState, EnvironmentObservation, Progress
from stella_pipelines.deployments.opening import Opener, Opening
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.plan import Plan
from stella_pipelines.deployments.planning import Planned, Planning, require_environment
from stella_pipelines.deployments.recorded import RecordedDeployments
from stella_pipelines.deployments.shards import Shard
from stella_pipelines.deployments.taking_over import TakenOver, TakingOver
from stella_pipelines.environments.service import Environments
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.promotions.service import Promotions
from stella_pipelines.releases.service import Releases
from stella_pipelines.store.database import Store
from stella_pipelines.store.leases import LeaseLost


def unheard(progress: Progress) -> None:
    """The listener of whoever does not want to be told."""
    del progress


class Deployments(RecordedDeployments):
    """Every use case of deployments."""

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        environments: Environments,
        releases: Releases,
        promotions: Promotions,
        connectors: Connectors,
        clock: Clock,
        identifiers: Identifiers,
    ) -> None:
        super().__init__(store, clock)
        self._evidence = evidence
        self._environments = environments
        self._promotions = promotions
        self._clock = clock
        self._identifiers = identifiers
        self._leasing = Leasing(store, clock, identifiers)
        self._opener = Opener(store, promotions, clock, identifiers)
        self._planning = Planning(store, environments, releases, connectors, clock)
        self._beginner = Beginner(store, evidence, promotions, planning=self._planning, opener=self._opener, clock=clock, identifiers=identifiers)
        ender = Ender(store, evidence, environments, releases, promotions, clock=clock, identifiers=identifiers)
        self._taking_over = TakingOver(store, environments, connectors, clock, identifiers)
        self._looks = Looks(store, environments, connectors, clock, DriftWatch(evidence, releases, identifiers))
        self._carrier = Carrier(store, environments, connectors, clock, ender=ender)

    # ------------------------------------------------------------ plan

    async def plan(self, environment: str, release_digest: Digest) -> Plan:
        """What a deployment of the release would change, from what the targets say now. Changes nothing."""
        return (await self._planning.plan(environment, release_digest)).plan

    # ------------------------------------------------------------ a promotion's deployment

    async def run(self, promotion_id: str, holder: str, progress: ProgressListener = unheard, *, gone: Gone = nobody_gone) -> DeploymentRecord:
        """Deploy an approved promotion: start it, or go on with it from its journal. One that ended is returned as it is.

        `holder` names this process's work. A holder of whom `gone` says that he works no more is followed at once, any other one is waited for.
        """
        ended = await self._beginner.ended(promotion_id)
        if ended is not None:
            return ended
        async with self._leasing.of(self._promotions.get(promotion_id).environment, holder, gone) as authority:
            record = await self._beginner.begun(promotion_id, authority)
            return record if record.ended else await self._carrier.carry_out(record, authority, progress)

    async def begin(self, promotion_id: str, holder: str, *, gone: Gone = nobody_gone) -> DeploymentRecord:
        """Do of `run` what comes before the rollout. If one is to follow, the environment stays with `holder`, for those who share the work."""
        ended = await self._beginner.ended(promotion_id)
        if ended is not None:
            return ended
        async with self._leasing.of(self._promotions.get(promotion_id).environment, holder, gone) as authority:
            record = await self._beginner.begun(promotion_id, authority)
            if not record.ended:
                authority.hand_on()
            return record

    async def roll_out_shard(
        self, promotion_id: str, shard: Shard, holder: str, worker: str, progress: ProgressListener = unheard, *, gone: Gone = nobody_gone
    ) -> None:
        """Do one shard's part of the rollout that `begin` began for `holder`, until the rollout has ended for all; `run` ends the deployment then.

        `worker` names this one process and no other. The limits of the rollout hold over all shards, because they share its journal. Repeated,
        or done twice at the same time, it does nothing twice: targets that somebody at work has are left to him.
        """
        record = await self._beginner.found(promotion_id)
        if record.ended:
            return
        authority = Authority(holder, record.environment, gone, worker=worker)
        try:
            await self._carrier.carry_share(record, authority, progress, shard)
        except LeaseLost:
            if not self.get(record.id).ended:
                raise  # else: whoever ended the deployment took the environment, and there is nothing left to do here
        finally:
            authority.hand_on()
            self._leasing.give_back(authority)

    # ------------------------------------------------------------ on command

    async def retry_failed(
        self,
        actor: Actor,
        deployment_id: str,
        reason: str = "",
        *,
        holder: str | None = None,
        progress: ProgressListener = unheard,
        gone: Gone = nobody_gone,
    ) -> DeploymentRecord:
        """A new deployment of what the newest one would have brought, over the targets on which it did not succeed.

        They get the settings that were approved for it, and not those of an estate that was edited since. Goes on with a retry that did not end.
        """
        first = self.get(deployment_id)
        async with self._leasing.of(first.environment, holder, gone) as authority:
            with self._store.reading() as tx:
                unfinished = records.unfinished(tx, first.environment)
            if unfinished is not None and unfinished.retry_of == deployment_id:
                return await self._carrier.carry_out(unfinished, authority, progress)
            with self._store.reading() as tx:
                failed = choosing.failed_targets(tx, first)
                earlier = KnownSpecs(tx).left_by(first.id)
                decision = decision_of(tx, self._evidence, self._promotions, first.promotion_id)
            planned = await self._planning.plan_again(first.environment, first.release_digest, earlier, failed)
            self._refuse_frozen_retry(first, planned.plan)
            opening = self._opening("retry", planned, actor, reason, promotion_id=first.promotion_id, decision=decision, retry_of=first)
            record = await patiently(lambda: self._opener.open(opening, authority))
            return await self._carrier.carry_out(record, authority, progress)

    async def rollback(
        self,
        actor: Actor,
        environment: str,
        to: Digest | None,
        reason: str,
        *,
        holder: str | None = None,
        progress: ProgressListener = unheard,
        gone: Gone = nobody_gone,
    ) -> DeploymentRecord:
        """Bring an environment back to an earlier proven release (by default the one before), under the same limits and proofs as a deployment.

        It comes back as it was proven: with the settings of that deployment. A deployment that has not ended is taken back first; without
        `to`, that is the rollback. A rollback that did not end goes on.
        """
        require_environment(self._environments.current()[0], environment)
        async with self._leasing.of(environment, holder, gone) as authority:
            with self._store.reading() as tx:
                unfinished = records.unfinished(tx, environment)
            if unfinished is not None:
                same = unfinished.kind == "rollback" and to in (None, unfinished.release_digest)
                ended = await self._carrier.carry_out(unfinished, authority, progress, None if same else refusals.aborted(actor, reason))
                # One that was through when we came counts as what runs now; a retry that was taken back leaves what it found, half a release.
                if same or (to is None and ended.kind == "promotion" and ended.state is not DeploymentState.SUCCEEDED):
                    return ended
            with self._store.reading() as tx:
                proven = choosing.way_back(tx, environment, to)
                earlier = KnownSpecs(tx).proven_by(proven)
            planned = await self._planning.plan(environment, proven.release_digest, earlier)
            opening = self._opening("rollback", planned, actor, reason)
            record = await patiently(lambda: self._opener.open(opening, authority))
            return await self._carrier.carry_out(record, authority, progress)

    async def resume(self, deployment_id: str, holder: str, progress: ProgressListener = unheard, *, gone: Gone = nobody_gone) -> DeploymentRecord:
        """Go on with a deployment that has not ended, from its journal, whoever began it. One that ended is returned as it is."""
        async with self._leasing.of(self.get(deployment_id).environment, holder, gone) as authority:
            record = self.get(deployment_id)
            return record if record.ended else await self._carrier.carry_out(record, authority, progress)

    async def take_over(self, actor: Actor, target: str, reason: str) -> TakenOver:
        """Act under tokens that are higher than every one that the target has seen, after this store was restored or replaced."""
        return await self._taking_over.take(actor, target, reason)

    # ------------------------------------------------------------ looking

    async def observe(self, environment: str) -> EnvironmentObservation:
        """Ask every target what it runs, compare it with what was proven there last, and remember the answer with its time."""
        return await self._looks.observe(environment)

    def last_observation(self, environment: str) -> EnvironmentObservation | None:
        """The newest look at an environment, without a new one."""
        return self._looks.last(environment)

    def due_for_look(self) -> builtins.list[str]:
        """Environments that nobody has looked at for a while, the longest unseen first."""
        return self._looks.due()

    # ------------------------------------------------------------ inside

    def _refuse_frozen_retry(self, first: DeploymentRecord, plan: Plan) -> None:
        """A retry goes on with what was approved, so only the calendar is asked again. A rollback is never frozen."""
        if first.promotion_id is None:
            return
        with self._store.reading() as tx:
            objections = self._promotions.objections(tx, first.promotion_id, plan.document(), plan.content_digest(), frozenset({"freeze_window"}))
        if objections:
            raise refusals.retry_objected(first, objections)

    def _opening(
        self,
        kind: DeploymentKind,
        planned: Planned,
        actor: Actor,
        reason: str,
        *,
        promotion_id: str | None = None,
        decision: DecisionNote | None = None,
        retry_of: DeploymentRecord | None = None,
    ) -> Opening:
        return Opening(
            id=self._identifiers.new("dep", self._clock.now()),
            kind=kind,
            release=planned.release,
            estate=planned.estate,
            plan=planned.plan,
            wanted=planned.wanted,
            actor=actor,
            reason=reason,
            promotion_id=promotion_id,
            decision=decision,
            retry_of=retry_of,
        )
