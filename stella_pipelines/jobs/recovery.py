"""What must go on although nobody asked again: waits whose time has come, promotions that expire, and runs that died.

A run that died is followed by a new attempt, after a pause that grows. A run that somebody deleted is followed by nothing: that was a
person's decision, and `continue_promotion` takes it back. Everything here goes through the services; Dagster is only asked for statuses.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.actor import SYSTEM, Actor
from stella_pipelines.core.values import Value
from stella_pipelines.evidence import audit
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.store import outbox
from stella_pipelines.store.outbox import Kind, OutboxRow

PAUSE_S: Final = 5.0
PAUSE_S_MAX: Final = 300.0
ATTEMPTS_MAX: Final = 50
"""Beyond so many runs for one promotion nothing starts by itself; `continue_promotion` starts one more."""
KIND_OF: Final[dict[PromotionState, Kind]] = {
    PromotionState.EVALUATING: "promotion",
    PromotionState.APPROVED: "deployment",
    PromotionState.DEPLOYING: "deployment",
}
"""Which job a promotion in this state is waiting for."""


class Recovered(Value):
    """A promotion that goes on, and why."""

    promotion_id: str
    reason: str


def reevaluate_due(plane: ControlPlane) -> list[Recovered]:
    """Ask the gates again whose time to wait is over, and expire what waited too long."""
    plane.promotions.expire_due()
    due = plane.promotions.due_for_reevaluation(plane.clock.now())
    for promotion_id in due:
        plane.promotions.reevaluate(promotion_id)
    return [Recovered(promotion_id=promotion_id, reason="the time that it waited for has come") for promotion_id in due]


def follow_dead_runs(plane: ControlPlane, instance: dg.DagsterInstance, kind: Kind) -> list[Recovered]:
    """Enqueue the next attempt of every live promotion whose newest run of this kind has died."""
    live = [promotion for promotion in _live_promotions(plane) if KIND_OF.get(promotion.state) == kind]
    return [found for promotion in live if (found := _follow(plane, instance, promotion, kind)) is not None]


def continue_promotion(plane: ControlPlane, promotion_id: str, actor: Actor) -> Recovered:
    """Enqueue the next attempt because a person asked for it, whatever became of the last run."""
    promotion = plane.promotions.get(promotion_id)
    kind = KIND_OF.get(promotion.state)
    if kind is None:
        return Recovered(promotion_id=promotion_id, reason=f"nothing to continue: it is {promotion.state}")
    _enqueue_next(plane, promotion, kind, actor, "a person asked for a new run")
    return Recovered(promotion_id=promotion_id, reason=f"a new {kind} run was enqueued")


def pause_after(attempt: int) -> timedelta:
    """How long to leave a dead run's attempt alone: 5 s, then twice as long each time, up to five minutes."""
    return timedelta(seconds=min(PAUSE_S * 2 ** min(attempt - 1, 10), PAUSE_S_MAX))


def _follow(plane: ControlPlane, instance: dg.DagsterInstance, promotion: Promotion, kind: Kind) -> Recovered | None:
    with plane.store.reading() as tx:
        row = outbox.latest(tx, kind, promotion.id)
    if row is None or row.run_id is None or not _may_follow(row, plane.clock.now()):
        return None
    run = instance.get_run_by_id(row.run_id)
    # A successful run whose promotion still waits for one ended between two of its transactions: nothing else will move it.
    ended = run is not None and run.is_finished
    if not ended or plane.promotions.get(promotion.id).revision != promotion.revision:
        return None
    reason = f"run {row.run_id} ended ({run.status.value if run else 'gone'}) before it was done"
    _enqueue_next(plane, promotion, kind, SYSTEM, reason)
    return Recovered(promotion_id=promotion.id, reason=reason)


def _may_follow(row: OutboxRow, now: datetime) -> bool:
    return row.state == "submitted" and row.attempt < ATTEMPTS_MAX and now - row.created_at >= pause_after(row.attempt)


def _enqueue_next(plane: ControlPlane, promotion: Promotion, kind: Kind, actor: Actor, reason: str) -> None:
    if kind == "promotion":
        plane.promotions.reevaluate(promotion.id, actor, reason)
        return
    now = plane.clock.now()
    with plane.store.writing() as tx:
        row = outbox.latest(tx, kind, promotion.id)
        attempt, payload = (row.attempt + 1, row.payload) if row else (1, {"environment": promotion.environment})
        outbox.enqueue(tx, kind, promotion.id, attempt, payload, plane.identifiers.new("out", now), now)
        entry_id = plane.identifiers.new("aud", now)
        audit.record(tx, entry_id=entry_id, at=now, actor=actor, action="promotion.deployment_run_followed", subject=promotion.id, reason=reason)


def _live_promotions(plane: ControlPlane) -> list[Promotion]:
    estate, _ = plane.environments.current()
    found = (plane.promotions.live(environment.name) for environment in estate.environments)
    return [promotion for promotion in found if promotion is not None]
