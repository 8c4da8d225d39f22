"""What must go on although nobody asked again: waits whose time has come, promotions that expire, and runs that died.

A run that died is followed by a new one, after a pause that grows (`promotions/dead_runs.py` has the rules). A run that somebody deleted is
followed by nothing: that was a person's decision, and `continue_promotion` takes it back. Everything here goes through the services; Dagster
is only asked for statuses.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import dagster as dg

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.dead_runs import DEAD_RUNS_MAX, deaths, pause_after
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.store import outbox
from stella_pipelines.store.outbox import Kind, OutboxRow

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
    """Ask the gates again whose time to wait is over."""
    due = [one for one in plane.promotions.due_for_reevaluation(plane.clock.now()) if plane.promotions.reevaluate_if_due(one)]
    return [Recovered(promotion_id=promotion_id, reason="the time that it waited for has come") for promotion_id in due]


def follow_dead_runs(plane: ControlPlane, instance: dg.DagsterInstance, kind: Kind) -> list[Recovered]:
    """Go on with every live promotion whose newest run of this kind has died."""
    live = [promotion for promotion in _live_promotions(plane) if KIND_OF.get(promotion.state) == kind]
    return [found for promotion in live if (found := _follow(plane, instance, promotion, kind)) is not None]


def continue_promotion(plane: ControlPlane, promotion_id: str, actor: Actor) -> Recovered:
    """Enqueue the next attempt because a person asked for it, whatever became of the last run."""
    promotion = plane.promotions.get(promotion_id)
    # What waits has no run to continue; asking its gates now is what somebody means who does not want to wait.
    kind = "promotion" if promotion.state is PromotionState.WAITING else KIND_OF.get(promotion.state)
    if kind is None:
        return Recovered(promotion_id=promotion_id, reason=f"nothing to continue: it is {promotion.state}")
    _enqueue_next(plane, promotion, kind, actor, "a person asked for a new run")
    return Recovered(promotion_id=promotion_id, reason=f"a new {kind} run was enqueued")


def _follow(plane: ControlPlane, instance: dg.DagsterInstance, promotion: Promotion, kind: Kind) -> Recovered | None:
    with plane.store.reading() as tx:
        row = outbox.latest(tx, kind, promotion.id)
    if row is None or row.run_id is None or row.state != "submitted":
        return None
    run = instance.get_run_by_id(row.run_id)
    # A successful run whose promotion still waits for one ended between two of its transactions: nothing else will move it.
    if run is None or not run.is_finished:
        return None
    progress = _progress(plane, promotion)
    if not _due(promotion, deaths(promotion, progress), row, plane.clock.now()):
        return None
    followed = plane.promotions.run_died(promotion, progress, f"run {row.run_id} ended ({run.status.value}) before it was done")
    if followed is None:
        return None
    what = "its runs die, so its gates are asked again later" if followed.state is PromotionState.WAITING else f"a new {kind} run was enqueued"
    return Recovered(promotion_id=promotion.id, reason=f"run {row.run_id} ended ({run.status.value}) before it was done; {what}")


def _due(promotion: Promotion, count: int, row: OutboxRow, now: datetime) -> bool:
    """Whether the dead run was left alone for long enough. An evaluation that will rest needs no pause before it."""
    if promotion.state is PromotionState.EVALUATING and count >= DEAD_RUNS_MAX:
        return True
    return now - row.created_at >= pause_after(count)


def _progress(plane: ControlPlane, promotion: Promotion) -> str | None:
    """How far the promotion's deployment is: the steps that came to an end. A step that only began again is no progress."""
    if promotion.deployment_id is None:
        return None
    return str(sum(row.phase == "outcome" for row in plane.deployments.journal(promotion.deployment_id)))


def _enqueue_next(plane: ControlPlane, promotion: Promotion, kind: Kind, actor: Actor, reason: str) -> None:
    if kind == "promotion":
        plane.promotions.reevaluate(promotion.id, actor, reason)
        return
    plane.promotions.deploy_again(promotion.id, actor, reason)


def _live_promotions(plane: ControlPlane) -> list[Promotion]:
    """Those of the estate's environments; what left it goes nowhere."""
    estate, _ = plane.environments.current()
    return [promotion for promotion in plane.promotions.all_live() if estate.environment(promotion.environment) is not None]
