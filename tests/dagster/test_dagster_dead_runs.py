"""Runs that die one after the other: healthy ones are not held against a promotion, and giving up is seen and does not last."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stella_pipelines.jobs.recovery import continue_promotion, follow_dead_runs
from stella_pipelines.jobs.submission import run_id_of, submit_pending
from stella_pipelines.promotions import dead_runs
from stella_pipelines.promotions.dead_runs import DEAD_RUNS_MAX, REST_S
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.store import outbox
from stella_pipelines.store.outbox import Kind
from tests.support.installation import ALICE, NESTED_RESOURCES, SmallInstallation

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)
HEALTHY = 60
PLAN = {"environment": "dev", "targets": []}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_runs, "PAUSE_S", 0.0)


def newest_run_dies(stella: SmallInstallation, promotion: Promotion, kind: Kind = "promotion") -> None:
    """Submit what is wanted, and let the newest run end as one does whose process was killed."""
    submit_pending(stella.plane, stella.submitter())
    with stella.plane.store.reading() as tx:
        row = outbox.latest(tx, kind, promotion.id)
    assert row is not None
    run = stella.instance.get_run_by_id(run_id_of(kind, promotion.id, row.attempt))
    assert run is not None
    stella.instance.report_run_failed(run, "its process was killed")


def healthy_evaluation(stella: SmallInstallation, promotion: Promotion) -> None:
    """One that came to its end: the plan could not be made, so it waits and is asked again."""
    attempt = stella.plane.promotions.get(promotion.id).attempt
    failure = {"code": "DEPLOY_PLAN_INCOMPLETE", "what": "host_1 does not answer.", "next_step": "Start host_1."}
    stella.plane.promotions.decide(stella.plane.promotions.begin_evaluation(promotion.id, attempt, None, failure).id)
    stella.plane.promotions.reevaluate(promotion.id)


def mark_older_as_submitted(stella: SmallInstallation) -> None:
    with stella.plane.store.writing() as tx:
        for row in outbox.pending(tx, 2 * HEALTHY)[:-1]:
            outbox.mark_submitted(tx, row.id, run_id_of(row.kind, row.subject, row.attempt), stella.plane.clock.now())


def test_healthy_evaluations_do_not_use_up_the_patience_with_dead_runs(stella: SmallInstallation) -> None:
    promotion = stella.request()
    for _ in range(HEALTHY):
        healthy_evaluation(stella, promotion)
    mark_older_as_submitted(stella)
    newest_run_dies(stella, promotion)
    (followed,) = follow_dead_runs(stella.plane, stella.instance, "promotion")
    assert followed.promotion_id == promotion.id
    assert stella.plane.promotions.get(promotion.id).attempt == HEALTHY + 2


def die_until_it_rests(stella: SmallInstallation, promotion: Promotion) -> Promotion:
    for _ in range(DEAD_RUNS_MAX):
        newest_run_dies(stella, promotion)
        assert len(follow_dead_runs(stella.plane, stella.instance, "promotion")) == 1
    return stella.plane.promotions.get(promotion.id)


def test_an_evaluation_whose_runs_die_again_and_again_waits_where_it_is_seen_and_is_asked_again(stella: SmallInstallation) -> None:
    waiting = die_until_it_rests(stella, stella.request())
    assert (waiting.state, waiting.runs_died, waiting.attempt) == (PromotionState.WAITING, DEAD_RUNS_MAX, DEAD_RUNS_MAX)
    assert waiting.waiting_until is not None
    assert waiting.waiting_until - waiting.updated_at == timedelta(seconds=REST_S)
    explanation = stella.plane.promotions.explain(waiting.id)
    assert "because its runs died" in explanation.summary
    assert "continue_promotion" in explanation.would_change[0]
    assert stella.plane.promotions.due_for_reevaluation(waiting.waiting_until) == [waiting.id]
    again = stella.plane.promotions.reevaluate(waiting.id)
    newest_run_dies(stella, again)
    follow_dead_runs(stella.plane, stella.instance, "promotion")
    assert stella.plane.promotions.get(waiting.id).state is PromotionState.WAITING, "one more dead run is enough to rest again"


def test_a_person_need_not_wait_for_the_rest_to_end(stella: SmallInstallation) -> None:
    waiting = die_until_it_rests(stella, stella.request())
    continue_promotion(stella.plane, waiting.id, ALICE)
    assert stella.plane.promotions.get(waiting.id).state is PromotionState.EVALUATING
    healthy_evaluation(stella, waiting)
    assert stella.plane.promotions.get(waiting.id).runs_died == 0


def test_a_deployment_whose_runs_die_goes_on_seldom_and_says_why(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    promotion = stella.request()
    evaluation = stella.plane.promotions.begin_evaluation(promotion.id, 1, PLAN)
    assert stella.plane.promotions.decide(evaluation.id)[0].state is PromotionState.APPROVED
    for _ in range(DEAD_RUNS_MAX - 1):
        newest_run_dies(stella, promotion, "deployment")
        assert len(follow_dead_runs(stella.plane, stella.instance, "deployment")) == 1
    newest_run_dies(stella, promotion, "deployment")
    assert follow_dead_runs(stella.plane, stella.instance, "deployment") == [], "it rests first"
    monkeypatch.setattr(dead_runs, "REST_S", 0.0)
    assert len(follow_dead_runs(stella.plane, stella.instance, "deployment")) == 1
    slow = stella.plane.promotions.get(promotion.id)
    assert (slow.state, slow.runs_died) == (PromotionState.APPROVED, DEAD_RUNS_MAX)
    assert "died one after the other" in stella.plane.promotions.explain(promotion.id).summary
    with stella.plane.store.reading() as tx:
        newest = outbox.latest(tx, "deployment", promotion.id)
    assert newest is not None
    assert (newest.attempt, newest.payload["environment"]) == (DEAD_RUNS_MAX + 1, "dev")


def test_a_run_that_ended_after_it_moved_its_promotion_is_not_followed(stella: SmallInstallation) -> None:
    seen = stella.request()
    stella.plane.promotions.reevaluate(seen.id)
    assert stella.plane.promotions.run_died(seen, None, "too late") is None
    assert stella.plane.promotions.get(seen.id).attempt == 2
