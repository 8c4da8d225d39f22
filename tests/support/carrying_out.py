"""Carry a promotion out without Dagster: the same use cases in the same order as the two jobs, in one thread."""

from __future__ import annotations

import asyncio

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.store import outbox


def evaluate(plane: ControlPlane, promotion_id: str) -> Promotion:
    """One evaluation: plan, every gate, decide."""
    promotion = plane.promotions.get(promotion_id)
    plan = asyncio.run(plane.deployments.plan(promotion.environment, promotion.release_digest))
    with plane.store.reading() as tx:
        row = outbox.latest(tx, "promotion", promotion_id)
    assert row is not None
    evaluation = plane.promotions.begin_evaluation(promotion_id, row.attempt, plan.document())
    for gate in evaluation.gates:
        plane.promotions.evaluate_gate(evaluation.id, gate)
    return plane.promotions.decide(evaluation.id)[0]


def carry_out(plane: ControlPlane, promotion_id: str) -> Promotion:
    """Evaluate, and deploy if the gates allow it."""
    decided = evaluate(plane, promotion_id)
    if decided.state is PromotionState.APPROVED:
        asyncio.run(plane.deployments.run(promotion_id, "test"))
    return plane.promotions.get(promotion_id)
