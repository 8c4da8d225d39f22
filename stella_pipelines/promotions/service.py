"""The promotions room as the floors above see it: request, evaluate, approve, cancel, follow the deployment, explain.

One short transaction per use case, each with its actor and its audit entry. Planning and deploying are the callers' work.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from stella_pipelines.core.actor import SYSTEM, Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.limits import PROMOTION_TTL_S
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.promotions import records
from stella_pipelines.promotions.approvals import Approval, eligible_at_request
from stella_pipelines.promotions.approving import Approving
from stella_pipelines.promotions.deciding import Deciding
from stella_pipelines.promotions.errors import PromotionInProgress, ReleaseNotPromotable, unknown_environment
from stella_pipelines.promotions.evaluation import Evaluation, GateResult
from stella_pipelines.promotions.evaluator import Evaluator
from stella_pipelines.promotions.gates_in_force import gates_in_force
from stella_pipelines.promotions.history import DeploymentHistory
from stella_pipelines.promotions.moving import Mover
from stella_pipelines.promotions.overriding import Overriding
from stella_pipelines.promotions.ports import CurrentEstate, KnownReleases, Sealing
from stella_pipelines.promotions.promotion import (
    Cancel,
    DeploymentFailed,
    DeploymentRolledBack,
    DeploymentSucceeded,
    Expire,
    Promotion,
    PromotionState,
    StartDeployment,
)
from stella_pipelines.promotions.recorded import RecordedPromotions
from stella_pipelines.promotions.replanning import PLAN_CHANGED, plan_changed
from stella_pipelines.promotions.standing import Standing
from stella_pipelines.promotions.trail import Trail
from stella_pipelines.promotions.transitions import UNDECIDED, CommandName, allowed
from stella_pipelines.releases.model import ReleaseRecord, ReleaseState
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import Conflict


class Promotions(RecordedPromotions):
    """Every use case of a promotion's life."""

    def __init__(
        self,
        store: Store,
        evidence: Sealing,
        environments: CurrentEstate,
        releases: KnownReleases,
        clock: Clock,
        identifiers: Identifiers,
        history: DeploymentHistory,
    ) -> None:
        super().__init__(store)
        self._environments = environments
        self._releases = releases
        self._clock = clock
        self._identifiers = identifiers
        self._mover = Mover(identifiers)
        self._trail = Trail(identifiers)
        self._approving = Approving(store, environments, releases, clock, identifiers, self._mover)
        self.overriding = Overriding(store, evidence, environments, clock, identifiers, self._mover)
        deciding = Deciding(evidence, environments, identifiers, self._mover)
        self._standing = Standing(environments, releases, clock, history)
        self._evaluator = Evaluator(store, environments, releases, clock, identifiers, history, deciding)

    # ------------------------------------------------------------ asking for it

    def request(self, actor: Actor, *, environment: str, release_digest: Digest, reason: str) -> Promotion:
        """Ask for a release to go into an environment. One live promotion per environment; the database keeps that."""
        release = self._releases.by_digest(release_digest)
        _refuse_unpromotable(release)
        try:
            with self._store.writing() as tx:
                return self._request(tx, actor, environment, release_digest, release.label, reason)
        except Conflict:
            # Somebody else's insert was first by a moment, after our look. Say who it is, now that it can be read.
            with self._store.reading() as tx:
                self._refuse_second(tx, environment)
            raise

    def _request(self, tx: Transaction, actor: Actor, environment: str, release_digest: Digest, label: str, reason: str) -> Promotion:
        now = self._clock.now()
        estate, revision = self._environments.current(tx)
        declared = estate.environment(environment)
        if declared is None:
            raise unknown_environment(environment)
        self._refuse_second(tx, environment)
        promotion = Promotion(
            id=self._identifiers.new("prm", now),
            environment=environment,
            release_digest=release_digest,
            release_label=label,
            requested_by=actor,
            requested_at=now,
            reason=reason,
            updated_at=now,
            eligible=eligible_at_request(declared),
            requested_under=gates_in_force(estate, revision, declared),
        )
        records.add_promotion(tx, promotion)
        self._trail.promotion(tx, actor, "promotion.Request", promotion, now, reason, before=None)
        self._mover.want_evaluation(tx, promotion, now)
        return promotion

    @staticmethod
    def _refuse_second(tx: Transaction, environment: str) -> None:
        live = records.live_promotion(tx, environment)
        if live is not None:
            raise PromotionInProgress(
                f"Promotion {live.id} of {live.release_label} into {environment} by {live.requested_by.name} is still {live.state}.",
                next_step=f"Wait for it, or {_way_out(live)}.",
            )

    # ------------------------------------------------------------ the promotion run

    def begin_evaluation(self, promotion_id: str, attempt: int, plan: Mapping[str, Any] | None, plan_failure: Mapping[str, Any] | None = None) -> Evaluation:
        """Begin the evaluation of an attempt, or return the one that began. A superseded attempt has no gates and decides nothing."""
        return self._evaluator.begin(promotion_id, attempt, plan, plan_failure)

    def evaluate_gate(self, evaluation_id: str, gate_name: str) -> GateResult:
        """One gate's answer; a stored one is returned as it is."""
        return self._evaluator.evaluate(evaluation_id, gate_name)

    def decide(self, evaluation_id: str) -> tuple[Promotion, SealedPacket | None]:
        """Combine the answers; an allow or a deny is sealed in the same transaction, and an allow wants its deployment run."""
        return self._evaluator.decide(evaluation_id)

    def objections(
        self, tx: Transaction, promotion_id: str, plan: Mapping[str, Any], plan_digest: Digest, kinds: frozenset[str] | None = None
    ) -> tuple[str, ...]:
        """Why an allowed promotion may not be carried out at this moment after all; empty when every gate still allows it."""
        return self._standing.objections(tx, promotion_id, plan, plan_digest, kinds)

    # ------------------------------------------------------------ people and time

    def approve(
        self, actor: Actor, promotion_id: str, *, verdict: Literal["approve", "reject"] = "approve", reason: str, plan_digest: Digest | None = None
    ) -> Approval:
        """One person's word on the current plan. The gates are asked again at once."""
        return self._approving.approve(actor, promotion_id, verdict=verdict, reason=reason, plan_digest=plan_digest)

    def cancel(self, actor: Actor, promotion_id: str, reason: str) -> Promotion:
        """Withdraw a promotion that is not deploying yet."""
        with self._store.writing() as tx:
            return self._mover.move(tx, records.promotion(tx, promotion_id), Cancel(), self._clock.now(), actor, reason)

    def expire_due(self) -> builtins.list[str]:
        """End the promotions that were requested too long ago and are not deploying; their ids."""
        now = self._clock.now()
        states = [state for state in PromotionState if CommandName.EXPIRE in allowed(state)]
        with self._store.reading() as tx:
            due = records.requested_before(tx, now - timedelta(seconds=PROMOTION_TTL_S), states)
        return [promotion_id for promotion_id in due if self._expire(promotion_id)]

    def _expire(self, promotion_id: str) -> bool:
        with self._store.writing() as tx:
            promotion = records.promotion(tx, promotion_id)
            if CommandName.EXPIRE not in allowed(promotion.state):
                return False  # it moved on since we looked
            self._mover.move(tx, promotion, Expire(), self._clock.now(), reason=f"older than {PROMOTION_TTL_S:g} s")
            return True

    def due_for_reevaluation(self, now: datetime | None = None) -> builtins.list[str]:
        """Waiting promotions whose time has come."""
        with self._store.reading() as tx:
            return records.due_promotions(tx, now or self._clock.now())

    def reevaluate_if_due(self, promotion_id: str) -> bool:
        """Ask the gates again if the promotion still waits and its time has come; whether they are. Two who look at the clock ask once."""
        now = self._clock.now()
        with self._store.writing() as tx:
            promotion = records.promotion(tx, promotion_id)
            if promotion.state is not PromotionState.WAITING or promotion.waiting_until is None or promotion.waiting_until > now:
                return False
            self._mover.reevaluate(tx, promotion, now)
            return True

    def reevaluate(self, promotion_id: str, actor: Actor = SYSTEM, reason: str | None = None) -> Promotion:
        """Ask the gates of an undecided promotion again, under a new attempt. A decided one is returned as it is."""
        with self._store.writing() as tx:
            promotion = records.promotion(tx, promotion_id)
            if promotion.state not in UNDECIDED:
                return promotion
            return self._mover.reevaluate(tx, promotion, self._clock.now(), actor, reason)

    def deploy_again(self, promotion_id: str, actor: Actor, reason: str) -> None:
        """Another run of its deployment, because a person asked for it."""
        with self._store.writing() as tx:
            self._mover.deploy_again(tx, records.promotion(tx, promotion_id), self._clock.now(), actor, reason)

    def run_died(self, seen: Promotion, progress: str | None, reason: str) -> Promotion | None:
        """Follow a run that ended before it was done. None: the promotion has moved on since it was seen, and needs nothing."""
        with self._store.writing() as tx:
            promotion = records.promotion(tx, seen.id)
            if promotion.revision != seen.revision:
                return None
            return self._mover.follow_dead_run(tx, promotion, progress, reason, self._clock.now())

    # ------------------------------------------------------------ the deployment's word, inside its own transaction

    def deployment_started(self, tx: Transaction, promotion_id: str, deployment_id: str) -> Promotion:
        """The deployment of the approved plan begins, or is resumed under the same id."""
        promotion = records.promotion(tx, promotion_id)
        if promotion.state is PromotionState.DEPLOYING and promotion.deployment_id == deployment_id:
            return promotion
        return self._mover.move(tx, promotion, StartDeployment(deployment_id=deployment_id), self._clock.now())

    def deployment_succeeded(self, tx: Transaction, promotion_id: str) -> Promotion:
        """What was approved runs, proven."""
        return self._mover.move(tx, records.promotion(tx, promotion_id), DeploymentSucceeded(), self._clock.now())

    def deployment_failed(self, tx: Transaction, promotion_id: str, failure: Mapping[str, Any]) -> Promotion:
        """The rollout failed."""
        return self._mover.move(tx, records.promotion(tx, promotion_id), DeploymentFailed(failure=dict(failure)), self._clock.now())

    def deployment_rolled_back(self, tx: Transaction, promotion_id: str, failure: Mapping[str, Any]) -> Promotion:
        """The rollout failed, and what ran before runs again."""
        return self._mover.move(tx, records.promotion(tx, promotion_id), DeploymentRolledBack(failure=dict(failure)), self._clock.now())

    def plan_changed(self, tx: Transaction, promotion_id: str, reason: str | None = None, code: str = PLAN_CHANGED) -> Promotion:
        """What was allowed holds no more; `code` says in which way. Nothing was touched, and the gates are asked again after a pause."""
        now, promotion = self._clock.now(), records.promotion(tx, promotion_id)
        return self._mover.move(tx, promotion, plan_changed(promotion, reason, now, code), now, reason=reason)


def _way_out(live: Promotion) -> str:
    if CommandName.CANCEL in allowed(live.state):
        return f"withdraw it with 'stella cancel {live.id}'"
    return f"take its deployment back with 'stella rollback {live.environment}'"


def _refuse_unpromotable(release: ReleaseRecord) -> None:
    if release.digest is None or release.state in (ReleaseState.DRAFT, ReleaseState.ARCHIVED):
        finalize = f"Finalize it first: stella release finalize {release.label}."
        next_step = "Promote another release." if release.state is ReleaseState.ARCHIVED else finalize
        raise ReleaseNotPromotable(f"Release {release.label} is {release.state}.", next_step=next_step)
