"""The rollout's safety, as sentences, over random schedules: 10,000 events a run, in any legal order, with any step failing.

The machine is driven as the engine drives it: only steps that it allows are begun, any of them, in any order; whatever is being done ends
well or badly; time passes; engines die and others take up what was begun; people abort. A small model beside it keeps the truth.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stella_pipelines.deployments.errors import IllegalRolloutEvent
from stella_pipelines.deployments.events import Aborted, Done, Event, Outcome, Pause, Step, StepFailed, StepStarted, StepSucceeded, Ticked
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import BACK, Stage, StepKind
from stella_pipelines.deployments.rollout import decide, in_flight, next_steps, start
from stella_pipelines.deployments.state import Phase, Rollout
from stella_pipelines.deployments.strategies.shares import batch_targets, budget_targets
from stella_pipelines.environments.model import AllAtOnce, Rolling, Strategy

EVENTS_A_RUN = 10_000
FAILURE = Failure(code="DEPLOY_SIMULATED", what="It failed.", unchanged="", next_step="")


def batch_of(rollout: Rollout) -> int:
    strategy = rollout.strategy
    return len(rollout.targets) if isinstance(strategy, AllAtOnce) else batch_targets(strategy.batch, len(rollout.targets))


def accepted_by(rollout: Rollout) -> int:
    return budget_targets(rollout.strategy.failure_budget, len(rollout.targets))


@dataclass
class Model:
    """The truth beside the machine: what each target runs, and when rules began to bind."""

    runs: dict[str, str] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)
    stopped_with: frozenset[str] | None = None
    events: list[tuple[Event, float]] = field(default_factory=list)


class Schedule:
    """One rollout from its start to its end under random choices."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.rollout = start(
            tuple(f"t{number:02}" for number in range(dice.randint(1, 8))),
            _strategy(dice),
            rollback_on_failure=dice.random() < 0.7,
            timeout_s=dice.choice([20.0, 1000.0, 1000.0]),
        )
        self.begun = self.rollout
        self.failing = dice.choice([0.0, 0.05, 0.3, 0.9])
        self.model = Model(runs={progress.target: "old" for progress in self.rollout.targets})
        self.elapsed_s = 0.0

    def step(self) -> bool:
        """One event. False when the rollout has ended."""
        following = next_steps(self.rollout)
        if isinstance(following, Done):
            return False
        self._tell(self._choose(() if isinstance(following, Pause) else following))
        return True

    def _choose(self, allowed: tuple[Step, ...]) -> Event:
        doing = [progress for progress in self.rollout.targets if progress.doing]
        chance = self.dice.random()
        if chance < 0.01 and self.rollout.phase in (Phase.PREPARING, Phase.ROLLING):
            return Aborted(failure=FAILURE)
        if chance < 0.06 or not (allowed or doing):
            self.elapsed_s += self.dice.choice([0.0, 1.0, 7.0])
            return Ticked()
        if allowed and (not doing or self.dice.random() < 0.6):
            step = self.dice.choice(allowed)
            return StepStarted(target=step.target, kind=step.kind)
        progress = self.dice.choice(doing)
        assert progress.doing is not None
        if self.dice.random() < 0.05:
            return StepStarted(target=progress.target, kind=progress.doing)  # a new engine takes up what a dead one had begun
        if self.dice.random() < self.failing:
            return StepFailed(target=progress.target, kind=progress.doing, failure=FAILURE.model_copy(update={"target": progress.target}))
        return StepSucceeded(target=progress.target, kind=progress.doing)

    def _tell(self, event: Event) -> None:
        before = self.rollout
        self.rollout = decide(before, event, self.elapsed_s)
        if not isinstance(event, Ticked):
            self.model.events.append((event, self.elapsed_s))
        self._follow(event)
        self._check(before, event)

    def _follow(self, event: Event) -> None:
        """What the event means for the real targets. A failed activation may have happened or not."""
        match event:
            case StepSucceeded(target=target, kind=StepKind.PREPARE):
                self.model.prepared.add(target)
            case StepSucceeded(target=target, kind=StepKind.ACTIVATE):
                self.model.runs[target] = "new"
            case StepFailed(target=target, kind=StepKind.ACTIVATE):
                self.model.runs[target] = self.dice.choice(["new", "broken"])
            case StepStarted(target=target, kind=StepKind.ACTIVATE):
                self.model.runs[target] = "broken"
            case StepSucceeded(target=target, kind=StepKind.RESTORE):
                self.model.runs[target] = "old"
            case StepFailed(target=target, kind=StepKind.PROVE_RESTORED):
                self.model.runs[target] = "broken"
        if self.model.stopped_with is None and _must_stop(self.rollout):
            self.model.stopped_with = _touched(self.rollout)

    # ------------------------------------------------------------ the sentences

    def _check(self, before: Rollout, event: Event) -> None:
        self.never_more_in_flight_than_the_batch()
        self.no_target_is_touched_before_all_were_prepared(event)
        self.nobody_new_is_touched_after_the_budget_is_exceeded()
        self.phases_never_go_back(before)
        self.something_can_always_happen_until_the_end()
        if self.rollout.outcome is not None:
            self.the_end_is_what_the_targets_say()

    def never_more_in_flight_than_the_batch(self) -> None:
        assert len(in_flight(self.rollout)) <= batch_of(self.rollout)
        changing = [progress for progress in self.rollout.targets if progress.doing in (StepKind.ACTIVATE, StepKind.RESTORE)]
        assert len(changing) <= batch_of(self.rollout)
        if self.rollout.rollback_on_failure and self.rollout.phase is Phase.ROLLING:
            assert sum(runs == "broken" for runs in self.model.runs.values()) <= batch_of(self.rollout)

    def no_target_is_touched_before_all_were_prepared(self, event: Event) -> None:
        if isinstance(event, StepStarted) and event.kind is StepKind.ACTIVATE:
            assert self.model.prepared == {progress.target for progress in self.rollout.targets}

    def nobody_new_is_touched_after_the_budget_is_exceeded(self) -> None:
        if self.model.stopped_with is not None:
            assert _touched(self.rollout) == self.model.stopped_with

    def phases_never_go_back(self, before: Rollout) -> None:
        order = list(Phase)
        assert order.index(self.rollout.phase) >= order.index(before.phase)
        assert _touched(before) <= _touched(self.rollout)

    def something_can_always_happen_until_the_end(self) -> None:
        following = next_steps(self.rollout)
        if isinstance(following, Pause) and following.until_s is not None:
            assert following.until_s > self.elapsed_s
            assert not isinstance(next_steps(decide(self.rollout, Ticked(), following.until_s)), Pause)

    def the_end_is_what_the_targets_say(self) -> None:
        outcome, runs = self.rollout.outcome, self.model.runs
        stages = {progress.target: progress.stage for progress in self.rollout.targets}
        assert not any(progress.doing for progress in self.rollout.targets)
        assert all(runs[target] == "old" for target, stage in stages.items() if stage is Stage.ROLLED_BACK)
        assert all(runs[target] == "new" for target, stage in stages.items() if stage is Stage.RETIRED)
        assert all(runs[progress.target] == "old" for progress in self.rollout.targets if not progress.touched)
        assert (outcome is Outcome.REFUSED) == (not _touched(self.rollout))
        assert (outcome is Outcome.ROLLBACK_FAILED) == (Stage.RESTORE_FAILED in stages.values())
        if outcome is Outcome.SUCCEEDED:
            failed = [progress for progress in self.rollout.targets if progress.stage is not Stage.RETIRED]
            assert len(failed) <= accepted_by(self.rollout)
            assert len(failed) < len(stages)
        if outcome is Outcome.ROLLED_BACK:
            assert set(runs.values()) == {"old"}
        if self.rollout.rollback_on_failure and outcome is not Outcome.ROLLBACK_FAILED:
            assert "broken" not in runs.values()


def _strategy(dice: random.Random) -> Strategy:
    budget = dice.choice([0, 0, 1, 2, "25%", "100%"])
    if dice.random() < 0.3:
        return AllAtOnce(failure_budget=budget)
    return Rolling(batch=dice.choice([1, 2, 3, "25%", "50%", "100%"]), pause_s=dice.choice([0.0, 3.0]), failure_budget=budget)


def _touched(rollout: Rollout) -> frozenset[str]:
    return frozenset(progress.target for progress in rollout.targets if progress.touched)


def _must_stop(rollout: Rollout) -> bool:
    """Told by the targets' own failures, not by the machine's phase."""
    if rollout.phase in (Phase.RETIRING, Phase.ENDED):
        return False
    failed = sum(progress.failure is not None for progress in rollout.targets)
    return failed > accepted_by(rollout) or any(progress.stage is Stage.RESTORE_FAILED for progress in rollout.targets)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_thousand_random_events_break_no_promise(seed: int) -> None:
    dice = random.Random(seed)
    events, outcomes = 0, set()
    while events < EVENTS_A_RUN:
        schedule = Schedule(dice)
        own = 0
        while schedule.step():
            own += 1
            assert own < 2_000, "a rollout that does not end"
        events += own
        outcomes.add(schedule.rollout.outcome)
        assert decided_again(schedule) == schedule.rollout
    assert events >= EVENTS_A_RUN
    assert outcomes == set(Outcome), "a run that does not reach every outcome proves too little"


def decided_again(schedule: Schedule) -> Rollout:
    """The journal alone gives the same rollout: this is what a resume stands on. The last tick leaves no row, so time is told once more."""
    rollout = schedule.begun
    for event, elapsed_s in schedule.model.events:
        rollout = decide(rollout, event, elapsed_s)
    return decide(rollout, Ticked(), schedule.elapsed_s)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(min_value=0), cut=st.integers(min_value=0, max_value=200))
@example(seed=67048, cut=32)  # a wave opened by a tick that left no row, and closed by the timeout
def test_a_rollout_cut_anywhere_and_decided_again_is_the_same(seed: int, cut: int) -> None:
    schedule = Schedule(random.Random(seed))
    for _ in range(cut):
        if not schedule.step():
            break
    assert decided_again(schedule) == decide(schedule.rollout, Ticked(), schedule.elapsed_s)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(min_value=0), cut=st.integers(min_value=0, max_value=100), kind=st.sampled_from(StepKind), data=st.data())
def test_what_may_not_happen_is_refused_and_changes_nothing(seed: int, cut: int, kind: StepKind, data: st.DataObject) -> None:
    schedule = Schedule(random.Random(seed))
    for _ in range(cut):
        schedule.step()
    target = data.draw(st.sampled_from([progress.target for progress in schedule.rollout.targets]))
    settled = decide(schedule.rollout, Ticked(), schedule.elapsed_s)
    following = next_steps(settled)
    allowed = following if isinstance(following, tuple) else ()
    doing = settled.progress(target).doing
    if doing is not kind:
        with pytest.raises(IllegalRolloutEvent):
            decide(settled, StepSucceeded(target=target, kind=kind), schedule.elapsed_s)
        if Step(target=target, kind=kind) not in allowed:
            with pytest.raises(IllegalRolloutEvent):
                decide(settled, StepStarted(target=target, kind=kind), schedule.elapsed_s)
    assert decide(settled, Ticked(), schedule.elapsed_s) == settled
    assert all(progress.stage not in BACK or progress.touched for progress in settled.targets)
