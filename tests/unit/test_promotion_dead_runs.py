"""Runs that die one after the other: what follows them, when it becomes slow, and what a person sees then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stella_pipelines.promotions import promotion as commands
from stella_pipelines.promotions.dead_runs import DEAD_RUNS_MAX, REST_S, after_death, deaths, pause_after
from stella_pipelines.promotions.promotion import PromotionState, Reevaluate, RunDied, decide
from tests.support.promotions import NOW, digest, promotion

LAST = DEAD_RUNS_MAX - 1


def test_the_pause_grows_until_it_is_a_rest() -> None:
    assert [pause_after(count) for count in (1, 2, 3)] == [timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=20)]
    assert pause_after(DEAD_RUNS_MAX - 1) == timedelta(minutes=5)
    assert pause_after(DEAD_RUNS_MAX) == pause_after(1_000_000) == timedelta(seconds=REST_S)


def test_an_evaluation_whose_run_died_is_asked_again_and_counted() -> None:
    command = after_death(promotion(runs_died=2), None, "run r ended", NOW)
    assert isinstance(command, Reevaluate)
    after = decide(promotion(runs_died=2), command, NOW)
    assert (after.state, after.attempt, after.runs_died, after.failure) == (PromotionState.EVALUATING, 2, 3, None)


def test_an_evaluation_whose_runs_die_again_and_again_waits_visibly() -> None:
    command = after_death(promotion(runs_died=LAST), None, "run r ended", NOW)
    assert isinstance(command, RunDied)
    waiting = decide(promotion(runs_died=LAST), command, NOW)
    assert (waiting.state, waiting.runs_died, waiting.waiting_until) == (PromotionState.WAITING, DEAD_RUNS_MAX, NOW + timedelta(seconds=REST_S))
    assert waiting.failure is not None
    assert waiting.failure["code"] == "PROM_RUNS_DIED"
    assert "run r ended" in waiting.failure["what"]
    assert "continue_promotion" in waiting.failure["next_step"]
    again = decide(waiting, Reevaluate(), NOW)
    assert (again.state, again.runs_died) == (PromotionState.EVALUATING, DEAD_RUNS_MAX)
    assert isinstance(after_death(again, None, "run r ended", NOW), RunDied)


@pytest.mark.parametrize("state", [PromotionState.APPROVED, PromotionState.DEPLOYING])
def test_a_deployment_goes_on_slowly_and_says_so(state: PromotionState) -> None:
    dying = promotion(state=state, runs_died=LAST, progress="3")
    followed = decide(dying, after_death(dying, "3", "run r ended", NOW), NOW)
    assert (followed.state, followed.attempt, followed.runs_died, followed.progress) == (state, dying.attempt, DEAD_RUNS_MAX, "3")
    assert followed.failure is not None
    assert "by itself" in followed.failure["next_step"]
    healthy = decide(followed, after_death(followed, "4", "run r ended", NOW), NOW)
    assert (healthy.runs_died, healthy.progress, healthy.failure) == (1, "4", None)


def test_only_runs_that_did_nothing_are_counted_in_a_row() -> None:
    assert deaths(promotion(runs_died=3), None) == 4
    assert deaths(promotion(runs_died=3, progress="7"), "7") == 4
    assert deaths(promotion(runs_died=3, progress="7"), "8") == 1
    assert deaths(promotion(runs_died=3), "1") == 1


def test_an_evaluation_that_closed_and_a_start_that_happened_forget_the_dead() -> None:
    closed = commands.EvaluationWaits(attempt=1, evaluation_id="evl_1", plan_digest=digest("plan"), until=None)
    assert decide(promotion(runs_died=7), closed, NOW).runs_died == 0
    started = commands.StartDeployment(deployment_id="dep_1")
    assert decide(promotion(state=PromotionState.APPROVED, runs_died=7), started, NOW).runs_died == 0
    changed = commands.PlanChanged(until=NOW, failure={})
    assert decide(promotion(state=PromotionState.APPROVED, runs_died=7), changed, NOW).runs_died == 0


def test_a_deployment_that_succeeds_in_the_end_forgets_the_failure() -> None:
    slow = promotion(state=PromotionState.DEPLOYING, deployment_id="dep_1", runs_died=DEAD_RUNS_MAX, failure={"what": "its runs died"})
    assert decide(slow, commands.DeploymentSucceeded(), NOW).failure is None
