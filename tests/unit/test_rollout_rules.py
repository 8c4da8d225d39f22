"""The rollout told step by step, as a person would read it. The random schedules are in tests/property/test_rollout_machine.py."""

from __future__ import annotations

import pytest

from stella_pipelines.deployments.errors import IllegalRolloutEvent
from stella_pipelines.deployments.events import Aborted, Done, Outcome, Pause, Step, StepFailed, StepStarted, StepSucceeded, Ticked
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import FORWARD, MISSED, REACHED, Stage, StepKind
from stella_pipelines.deployments.rollout import decide, next_steps, start
from stella_pipelines.deployments.state import Phase, Rollout
from stella_pipelines.environments.model import AllAtOnce, Rolling, Strategy

FAILURE = Failure(code="DEPLOY_UNHEALTHY", what="web is unhealthy.", unchanged="", next_step="")
FORWARDS = (StepKind.ACTIVATE, StepKind.PROVE_HEALTH, StepKind.PROVE_DIGEST)


def begin(strategy: Strategy, *targets: str, rollback_on_failure: bool = True, timeout_s: float = 1000.0) -> Rollout:
    return start(targets, strategy, rollback_on_failure=rollback_on_failure, timeout_s=timeout_s)


def done(rollout: Rollout, target: str, *kinds: StepKind, at_s: float = 0.0) -> Rollout:
    for kind in kinds:
        rollout = decide(decide(rollout, StepStarted(target=target, kind=kind), at_s), StepSucceeded(target=target, kind=kind), at_s)
    return rollout


def failed(rollout: Rollout, target: str, kind: StepKind, at_s: float = 0.0) -> Rollout:
    begun = decide(rollout, StepStarted(target=target, kind=kind), at_s)
    return decide(begun, StepFailed(target=target, kind=kind, failure=FAILURE), at_s)


def prepared(rollout: Rollout) -> Rollout:
    for progress in rollout.targets:
        rollout = done(rollout, progress.target, StepKind.PREPARE)
    return rollout


def allowed(rollout: Rollout) -> list[tuple[str, str]]:
    following = next_steps(rollout)
    assert isinstance(following, tuple)
    return [(step.target, step.kind) for step in following]


def outcome(rollout: Rollout) -> Outcome:
    following = next_steps(rollout)
    assert isinstance(following, Done)
    return following.outcome


def test_every_target_is_prepared_before_any_is_touched() -> None:
    rollout = begin(AllAtOnce(), "a", "b")
    assert allowed(rollout) == [("a", "prepare"), ("b", "prepare")]
    rollout = done(rollout, "a", StepKind.PREPARE)
    assert allowed(rollout) == [("b", "prepare")]
    assert allowed(done(rollout, "b", StepKind.PREPARE)) == [("a", "activate"), ("b", "activate")]


def test_a_target_that_cannot_be_prepared_refuses_the_deployment_after_all_were_asked() -> None:
    rollout = failed(begin(AllAtOnce(), "a", "b"), "a", StepKind.PREPARE)
    assert allowed(rollout) == [("b", "prepare")]
    rollout = done(rollout, "b", StepKind.PREPARE)
    assert outcome(rollout) is Outcome.REFUSED
    assert rollout.failure == FAILURE


def test_rolling_waits_for_its_wave_and_for_the_pause() -> None:
    rollout = prepared(begin(Rolling(batch=2, pause_s=10.0), "a", "b", "c"))
    assert allowed(rollout) == [("a", "activate"), ("b", "activate")]
    rollout = done(done(rollout, "a", *FORWARDS), "b", *FORWARDS, at_s=5.0)
    assert next_steps(rollout) == Pause(until_s=15.0)
    assert next_steps(decide(rollout, Ticked(), 14.9)) == Pause(until_s=15.0)
    assert allowed(decide(rollout, Ticked(), 15.0)) == [("c", "activate")]


def test_old_instances_are_retired_only_when_all_are_proven() -> None:
    rollout = prepared(begin(Rolling(batch=1), "a", "b"))
    rollout = done(done(rollout, "a", *FORWARDS), "b", *FORWARDS)
    assert allowed(rollout) == [("a", "retire"), ("b", "retire")]
    rollout = failed(done(rollout, "a", StepKind.RETIRE), "b", StepKind.RETIRE)
    assert outcome(rollout) is Outcome.SUCCEEDED


def test_beyond_the_budget_what_was_touched_goes_back_and_the_rest_is_left_alone() -> None:
    rollout = prepared(begin(Rolling(batch=1), "a", "b", "c"))
    rollout = failed(done(rollout, "a", *FORWARDS), "b", StepKind.ACTIVATE)
    assert rollout.phase is Phase.RESTORING
    assert allowed(rollout) == [("b", "restore")]
    rollout = done(rollout, "b", StepKind.RESTORE, StepKind.PROVE_RESTORED)
    assert allowed(rollout) == [("a", "restore")]
    rollout = done(rollout, "a", StepKind.RESTORE, StepKind.PROVE_RESTORED)
    assert outcome(rollout) is Outcome.ROLLED_BACK
    assert not rollout.progress("c").touched


def test_within_the_budget_a_failed_target_goes_back_in_its_place_and_the_others_go_on() -> None:
    rollout = prepared(begin(Rolling(batch=1, failure_budget=1), "a", "b"))
    rollout = failed(rollout, "a", StepKind.ACTIVATE)
    assert allowed(rollout) == [("a", "restore")]
    rollout = done(rollout, "a", StepKind.RESTORE, StepKind.PROVE_RESTORED)
    rollout = done(rollout, "b", *FORWARDS, StepKind.RETIRE)
    assert outcome(rollout) is Outcome.SUCCEEDED
    assert rollout.progress("a").stage is Stage.ROLLED_BACK


def test_a_target_that_cannot_go_back_stops_everything() -> None:
    rollout = prepared(begin(Rolling(batch=1, failure_budget=1), "a", "b"))
    rollout = failed(failed(rollout, "a", StepKind.ACTIVATE), "a", StepKind.RESTORE)
    assert outcome(rollout) is Outcome.ROLLBACK_FAILED
    assert not rollout.progress("b").touched


def test_without_rollback_a_failure_stops_and_leaves_everything_as_it_is() -> None:
    rollout = prepared(begin(Rolling(batch=2), "a", "b", "c", rollback_on_failure=False))
    rollout = done(rollout, "b", StepKind.ACTIVATE)
    rollout = failed(rollout, "a", StepKind.ACTIVATE)
    assert allowed(rollout) == [("b", "prove_health")]
    rollout = done(rollout, "b", StepKind.PROVE_HEALTH, StepKind.PROVE_DIGEST)
    assert outcome(rollout) is Outcome.FAILED
    assert rollout.progress("b").stage is Stage.PROVEN


def test_what_is_being_done_ends_before_its_target_goes_back() -> None:
    rollout = prepared(begin(AllAtOnce(), "a", "b"))
    rollout = decide(rollout, StepStarted(target="b", kind=StepKind.ACTIVATE), 0.0)
    rollout = failed(rollout, "a", StepKind.ACTIVATE)
    assert allowed(rollout) == [("a", "restore")]
    rollout = decide(rollout, StepSucceeded(target="b", kind=StepKind.ACTIVATE), 0.0)
    assert allowed(rollout) == [("a", "restore"), ("b", "restore")]


def test_time_that_is_up_turns_back_whoever_is_not_through() -> None:
    rollout = prepared(begin(Rolling(batch=1), "a", "b", timeout_s=60.0))
    rollout = done(rollout, "a", *FORWARDS, at_s=59.0)
    late = decide(rollout, Ticked(), 60.0)
    assert late.failure is not None
    assert late.failure.code == "DEPLOY_TIMEOUT"
    assert allowed(late) == [("a", "restore")]
    through = done(rollout, "b", *FORWARDS, at_s=59.5)
    assert decide(through, Ticked(), 61.0).phase is Phase.RETIRING


def test_time_that_is_up_before_anything_was_touched_refuses() -> None:
    rollout = begin(AllAtOnce(), "a", timeout_s=60.0)
    assert outcome(decide(rollout, Ticked(), 60.0)) is Outcome.REFUSED


def test_an_abort_takes_back_also_what_a_dead_engine_had_begun() -> None:
    rollout = prepared(begin(Rolling(batch=1), "a", "b", rollback_on_failure=False))
    rollout = decide(rollout, StepStarted(target="a", kind=StepKind.ACTIVATE), 0.0)
    rollout = decide(rollout, Aborted(failure=FAILURE), 0.0)
    assert allowed(rollout) == [("a", "restore")]
    assert outcome(done(rollout, "a", StepKind.RESTORE, StepKind.PROVE_RESTORED)) is Outcome.ROLLED_BACK


def test_a_step_that_was_begun_may_be_taken_up_again_and_no_other() -> None:
    rollout = decide(begin(AllAtOnce(), "a"), StepStarted(target="a", kind=StepKind.PREPARE), 0.0)
    assert decide(rollout, StepStarted(target="a", kind=StepKind.PREPARE), 1.0) == rollout
    with pytest.raises(IllegalRolloutEvent):
        decide(rollout, StepStarted(target="a", kind=StepKind.ACTIVATE), 1.0)
    with pytest.raises(IllegalRolloutEvent):
        decide(rollout, StepSucceeded(target="nobody", kind=StepKind.PREPARE), 1.0)


def test_an_ended_rollout_accepts_nothing() -> None:
    rollout = done(prepared(begin(AllAtOnce(), "a")), "a", *FORWARDS, StepKind.RETIRE)
    assert outcome(rollout) is Outcome.SUCCEEDED
    for kind in StepKind:
        with pytest.raises(IllegalRolloutEvent):
            decide(rollout, StepStarted(target="a", kind=kind), 0.0)


def test_every_step_has_a_good_and_a_bad_end() -> None:
    assert set(REACHED) == set(MISSED) == set(StepKind)
    assert set(FORWARD.values()) <= set(StepKind)
    assert Step(target="a", kind=StepKind.PREPARE).kind == "prepare"
