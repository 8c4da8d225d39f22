"""Beginning a promotion's deployment: what was approved is compared with what is, and the deployment is opened, refused, or found again.

Everything up to the first step of the rollout. May be repeated after a crash at any point.
"""

from __future__ import annotations

from stella_pipelines.core.clock import Clock
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.deployments import records, refusals
from stella_pipelines.deployments.authority import Authority
from stella_pipelines.deployments.ending import decision_of
from stella_pipelines.deployments.errors import DeploymentNotDue
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.model import DeploymentRecord
from stella_pipelines.deployments.opening import Opener, Opening
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.plan import Plan
from stella_pipelines.deployments.planning import Planning
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.promotions.service import Promotions
from stella_pipelines.store.database import Store


class Beginner:
    """Begins what promotions want."""

    def __init__(
        self, store: Store, evidence: Evidence, promotions: Promotions, *, planning: Planning, opener: Opener, clock: Clock, identifiers: Identifiers
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._promotions = promotions
        self._planning = planning
        self._opener = opener
        self._clock = clock
        self._identifiers = identifiers

    async def ended(self, promotion_id: str) -> DeploymentRecord | None:
        """The promotion's deployment, if it has ended and none is to follow it."""
        promotion = self._promotions.get(promotion_id)
        record = await patiently(lambda: self._own_deployment(promotion))
        return record if record is not None and _is_the_last(record, promotion) else None

    async def found(self, promotion_id: str) -> DeploymentRecord:
        """The promotion's newest deployment, which somebody else has begun."""
        promotion = self._promotions.get(promotion_id)
        record = await patiently(lambda: self._own_deployment(promotion))
        if record is None:
            raise DeploymentNotDue(f"Promotion {promotion.id} has no deployment yet.", next_step="Run the job again from its first step.")
        return record

    async def begun(self, promotion_id: str, authority: Authority) -> DeploymentRecord:
        """The promotion's deployment: found, opened, or refused. The authority holds the environment."""
        promotion = self._promotions.get(promotion_id)
        record = await patiently(lambda: self._own_deployment(promotion))
        if record is not None and (not record.ended or _is_the_last(record, promotion)):
            return record
        self._refuse_second(promotion.environment)
        return await self._open(promotion, authority)

    def _own_deployment(self, promotion: Promotion) -> DeploymentRecord | None:
        with self._store.reading() as tx:
            record = records.of_promotion(tx, promotion.id)
        if record is None and promotion.state is not PromotionState.APPROVED:
            raise DeploymentNotDue(
                f"Promotion {promotion.id} is {promotion.state}, and has no deployment.", next_step=f"See why with 'stella status {promotion.id}'."
            )
        return record

    def _refuse_second(self, environment: str) -> None:
        with self._store.reading() as tx:
            other = records.unfinished(tx, environment)
        if other is not None:
            raise refusals.unfinished(other)

    async def _open(self, promotion: Promotion, authority: Authority) -> DeploymentRecord:
        planned = await self._planning.plan(promotion.environment, promotion.release_digest)
        with self._store.reading() as tx:
            decision = decision_of(tx, self._evidence, self._promotions, promotion.id)
        opening = Opening(
            id=self._identifiers.new("dep", self._clock.now()),
            kind="promotion",
            release=planned.release,
            estate=planned.estate,
            plan=planned.plan,
            wanted=planned.wanted,
            actor=promotion.requested_by,
            reason=promotion.reason,
            promotion_id=promotion.id,
            decision=decision,
        )
        failure = await patiently(lambda: self._why_not_now(promotion, planned.plan))
        if failure is not None:
            return await patiently(lambda: self._opener.refuse(opening, authority, failure))
        return await patiently(lambda: self._opener.open(opening, authority))

    def _why_not_now(self, promotion: Promotion, plan: Plan) -> Failure | None:
        """What was approved is looked at once more right before acting: the plan, and every gate."""
        if plan.content_digest() != promotion.plan_digest:
            return refusals.plan_differs(promotion, plan)
        with self._store.reading() as tx:
            objections = self._promotions.objections(tx, promotion.id, plan.document(), plan.content_digest())
        return refusals.allow_stale(objections) if objections else None


def _is_the_last(record: DeploymentRecord, promotion: Promotion) -> bool:
    """A promotion that was approved again after a refusal gets another deployment."""
    return record.ended and promotion.state is not PromotionState.APPROVED
