"""Moving a promotion: decide purely, then write the row, the audit entry and the outbox row in the caller's transaction."""

from __future__ import annotations

from datetime import datetime

from stella_pipelines.core.actor import SYSTEM, Actor
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.promotions import records
from stella_pipelines.promotions.dead_runs import after_death
from stella_pipelines.promotions.promotion import Command, Promotion, PromotionState, Reevaluate, decide
from stella_pipelines.promotions.trail import Trail
from stella_pipelines.store import outbox
from stella_pipelines.store.database import Transaction


class Mover:
    """The one way in which a promotion's row changes."""

    def __init__(self, identifiers: Identifiers) -> None:
        self._identifiers = identifiers
        self._trail = Trail(identifiers)

    def move(self, tx: Transaction, promotion: Promotion, command: Command, now: datetime, actor: Actor = SYSTEM, reason: str | None = None) -> Promotion:
        """Carry out one command."""
        moved = decide(promotion, command, now)
        records.save_promotion(tx, moved, promotion)
        self._trail.promotion(tx, actor, f"promotion.{command.name}", moved, now, reason, before=promotion)
        return moved

    def reevaluate(self, tx: Transaction, promotion: Promotion, now: datetime, actor: Actor = SYSTEM, reason: str | None = None) -> Promotion:
        """Ask the gates again, at once."""
        moved = self.move(tx, promotion, Reevaluate(), now, actor, reason)
        self.want_evaluation(tx, moved, now)
        return moved

    def deploy_again(self, tx: Transaction, promotion: Promotion, now: datetime, actor: Actor, reason: str) -> None:
        """Another run of its deployment. The promotion stays as it is, which its entry says."""
        self.want_deployment(tx, promotion, now)
        self._trail.promotion(tx, actor, "promotion.deployment_run_followed", promotion, now, reason, before=promotion)

    def follow_dead_run(self, tx: Transaction, promotion: Promotion, progress: str | None, reason: str, now: datetime) -> Promotion:
        """Want the next run in the place of one that died; an evaluation whose runs died too often waits first."""
        moved = self.move(tx, promotion, after_death(promotion, progress, reason, now), now, reason=reason)
        if moved.state is PromotionState.EVALUATING:
            self.want_evaluation(tx, moved, now)
        elif moved.state is not PromotionState.WAITING:
            self.want_deployment(tx, moved, now)
        return moved

    def want_evaluation(self, tx: Transaction, promotion: Promotion, now: datetime) -> None:
        """A run of the promotion job for the promotion's attempt."""
        outbox.enqueue(tx, "promotion", promotion.id, promotion.attempt, payload(promotion), self._identifiers.new("out", now), now)

    def want_deployment(self, tx: Transaction, promotion: Promotion, now: datetime) -> None:
        """A run of the deployment job. After a changed plan it is the second one, and so on."""
        latest = outbox.latest(tx, "deployment", promotion.id)
        number = 1 if latest is None else latest.attempt + 1
        outbox.enqueue(tx, "deployment", promotion.id, number, payload(promotion), self._identifiers.new("out", now), now)


def payload(promotion: Promotion) -> dict[str, str]:
    """What a run needs to know before it reads the store."""
    return {
        "promotion_id": promotion.id,
        "attempt": str(promotion.attempt),
        "environment": promotion.environment,
        "release": promotion.release_label,
        "release_digest": promotion.release_digest,
    }
