"""One person's word on a promotion: checked against separation of duties, eligibility and the plan, then stored; the gates are asked again.

A refused attempt changes nothing but the audit trail, which notes who tried.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.environments.model import Environment
from stella_pipelines.promotions import records
from stella_pipelines.promotions.approvals import Approval, bars_author, expiry_s, may_be_one_person, seats_of
from stella_pipelines.promotions.errors import AlreadyDecided, NotEligible, PlanDiffers, PlanUnknown, SelfApproval, unknown_environment
from stella_pipelines.promotions.moving import Mover
from stella_pipelines.promotions.ports import CurrentEstate, KnownReleases
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.trail import Trail
from stella_pipelines.promotions.transitions import UNDECIDED
from stella_pipelines.store.database import Store, Transaction

Word = Literal["approve", "reject"]


class Approving:
    """See the module's docstring."""

    def __init__(self, store: Store, environments: CurrentEstate, releases: KnownReleases, clock: Clock, identifiers: Identifiers, mover: Mover) -> None:
        self._store = store
        self._environments = environments
        self._releases = releases
        self._clock = clock
        self._identifiers = identifiers
        self._mover = mover
        self._trail = Trail(identifiers)

    def approve(self, actor: Actor, promotion_id: str, *, verdict: Word, reason: str, plan_digest: Digest | None) -> Approval:
        """Store the word and ask the gates again, in one transaction."""
        author = self._author(promotion_id)
        with self._store.writing() as tx:
            promotion = records.promotion(tx, promotion_id)
            now = self._clock.now()
            try:
                approval = self._approval(tx, actor, promotion, author, verdict, reason, plan_digest, now)
            except StellaError as refusal:
                refused: StellaError = refusal
                self._trail.promotion(tx, actor, f"promotion.{verdict}.refused", promotion, now, refusal.code, before=promotion)
            else:
                self._trail.word(tx, approval, promotion.environment, records.add_approval(tx, approval))
                self._mover.reevaluate(tx, promotion, now, actor, f"{verdict}: {reason}")
                return approval
        # Raised only after the audit entry was committed.
        raise refused

    def _author(self, promotion_id: str) -> str | None:
        with self._store.reading() as tx:
            release_digest = records.promotion(tx, promotion_id).release_digest
        return self._releases.by_digest(release_digest).release.source.author

    def _approval(
        self,
        tx: Transaction,
        actor: Actor,
        promotion: Promotion,
        author: str | None,
        verdict: Word,
        reason: str,
        plan_digest: Digest | None,
        now: datetime,
    ) -> Approval:
        environment = self._environments.current(tx)[0].environment(promotion.environment)
        if environment is None:
            raise unknown_environment(promotion.environment)
        refuse_when_decided(promotion)
        refuse_own(actor, promotion, environment, author)
        seats = refuse_stranger(actor, promotion, environment)
        return Approval(
            id=self._identifiers.new("apr", now),
            promotion_id=promotion.id,
            actor=actor,
            verdict=verdict,
            plan_digest=agreed_plan(promotion, plan_digest),
            at=now,
            expires_at=now + timedelta(seconds=expiry_s(environment)),
            groups=seats,
            reason=reason,
        )


def refuse_when_decided(promotion: Promotion) -> None:
    """Only an undecided promotion can be approved or rejected."""
    if promotion.state not in UNDECIDED:
        raise AlreadyDecided(f"Promotion {promotion.id} is {promotion.state} already.", next_step="Request a new promotion, or cancel or roll back this one.")


def refuse_own(actor: Actor, promotion: Promotion, environment: Environment, author: str | None) -> None:
    """Separation of duties. The control plane itself is nobody who could approve."""
    if actor.kind != "human":
        raise NotEligible("Only people approve and reject.", next_step="Let a member of the approval group do it under their own name.")
    requester = promotion.requested_by.name
    if may_be_one_person(actor.name, requester):
        raise SelfApproval(
            f"{requester} requested promotion {promotion.id}, and nobody approves or rejects their own request; you are {actor.name}.",
            next_step="Let somebody else of the approval group do it; you may cancel it.",
        )
    if bars_author(environment) and author is not None and may_be_one_person(actor.name, author):
        raise SelfApproval(
            f"{actor.name} wrote the commit of {promotion.release_label}, and {environment.name} bars its author.", next_step="Let somebody else approve it."
        )


def refuse_stranger(actor: Actor, promotion: Promotion, environment: Environment) -> tuple[str, ...]:
    """The seats that this person can fill: in the group when it was requested, and still in it now."""
    seats = seats_of(actor.name, environment, promotion.eligible)
    if not seats:
        groups = "; ".join(f"{group.gate}/{group.group}: {', '.join(group.members)}" for group in promotion.eligible)
        raise NotEligible(
            f"{actor.name} fills no seat for {environment.name}: one must be in a group when the promotion is requested and still be in it now.",
            next_step=f"Eligible at the request: {groups or 'nobody; this environment asks for no approval'}.",
        )
    return seats


def agreed_plan(promotion: Promotion, plan_digest: Digest | None) -> Digest:
    """The plan that the word is about: the one that would be carried out, and no other."""
    if promotion.plan_digest is None:
        raise PlanUnknown(
            f"Promotion {promotion.id} has no plan yet.", next_step="Wait until its first evaluation is done, look at the plan, and approve then."
        )
    if plan_digest is not None and plan_digest != promotion.plan_digest:
        raise PlanDiffers(
            f"You looked at plan {plan_digest.short}, and the plan of {promotion.id} is now {promotion.plan_digest.short}.",
            next_step="Look at the new plan and approve that.",
        )
    return promotion.plan_digest
