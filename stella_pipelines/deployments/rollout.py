"""The rollout: a pure state machine. Events come in, steps come out; nothing here reads a clock, a store or a target.

`decide(rollout, event, elapsed_s)` is the next state; `next_steps(rollout)` is what may begin now. A rollout's journal is its events, so a
rollout is rebuilt by deciding them again. `elapsed_s` counts the time at work on a monotonic source: a wall clock that jumps moves nothing.

Rules that hold whatever happens (tests/property/test_rollout_machine.py says them as sentences):
- no target is touched before all targets are prepared;
- a wave's targets settle before the next wave opens, so no more than the strategy's batch is in flight, on the way forward and back;
- a target that fails goes back at once, inside its place in the wave, when the environment asks for rollback;
- once more targets failed than the budget accepts, or one could not go back, or time is up, no new target is touched;
- every touched target then goes back, in the same limits and without pauses.
"""

from __future__ import annotations

from stella_pipelines.deployments.consequences import settle, settled, turn_back
from stella_pipelines.deployments.events import Aborted, Done, Event, Pause, Step, StepFailed, StepStarted, StepSucceeded, Ticked
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import FORWARD, Stage, StepKind, TargetProgress
from stella_pipelines.deployments.state import Phase, Rollout, illegal
from stella_pipelines.environments.model import Strategy


def start(targets: tuple[str, ...], strategy: Strategy, *, rollback_on_failure: bool, timeout_s: float) -> Rollout:
    """A rollout in which nothing has happened. Targets come in the order of their names."""
    return Rollout(
        strategy=strategy,
        rollback_on_failure=rollback_on_failure,
        timeout_s=timeout_s,
        targets=tuple(TargetProgress(target=target) for target in sorted(set(targets))),
    )


# ---------------------------------------------------------------- decide


def decide(rollout: Rollout, event: Event, elapsed_s: float) -> Rollout:
    """The rollout after `event`. Raises `IllegalRolloutEvent` for an event that cannot happen now."""
    return settle(_apply(settle(rollout, elapsed_s), event), elapsed_s)


def _apply(rollout: Rollout, event: Event) -> Rollout:
    match event:
        case Ticked():
            return rollout
        case Aborted(failure=failure):
            return _abort(rollout, failure)
        case StepStarted(target=target, kind=kind):
            progress = rollout.progress(target)
            if not may_begin(rollout, Step(target=target, kind=kind)):
                raise illegal(f"{kind} on {target} may not begin while it is {progress.stage} and the rollout is {rollout.phase}")
            return rollout.replacing(progress.started(kind))
        case StepSucceeded(target=target, kind=kind):
            return rollout.replacing(_doing(rollout, target, kind).succeeded())
        case StepFailed(target=target, kind=kind, failure=failure):
            return rollout.replacing(_doing(rollout, target, kind).failed(failure))


def _doing(rollout: Rollout, target: str, kind: StepKind) -> TargetProgress:
    progress = rollout.progress(target)
    if progress.doing is not kind:
        raise illegal(f"{kind} on {target} ended, and it had not begun")
    return progress


def _abort(rollout: Rollout, failure: Failure) -> Rollout:
    if rollout.phase not in (Phase.PREPARING, Phase.ROLLING):
        return rollout
    stopped = rollout.having(targets=tuple(progress.interrupted() for progress in rollout.targets), rollback_on_failure=True)
    return turn_back(stopped, failure)


# ---------------------------------------------------------------- what may begin now


def next_steps(rollout: Rollout) -> tuple[Step, ...] | Pause | Done:
    """The steps that may begin now, or what to wait for, or how it ended."""
    if rollout.outcome is not None:
        return Done(outcome=rollout.outcome)
    steps = _steps(rollout)
    if steps:
        return steps
    busy = any(progress.doing for progress in rollout.targets)
    return Pause(until_s=None if busy else min(rollout.next_wave_s, rollout.timeout_s))


def may_begin(rollout: Rollout, step: Step) -> bool:
    """Whether a step may begin, or, begun by an engine that is gone, be taken up again."""
    return rollout.progress(step.target).doing is step.kind or step in _steps(rollout)


def _steps(rollout: Rollout) -> tuple[Step, ...]:
    kinds = ((progress.target, _next_kind(rollout, progress)) for progress in rollout.targets if progress.doing is None)
    return tuple(Step(target=target, kind=kind) for target, kind in kinds if kind is not None)


def _next_kind(rollout: Rollout, progress: TargetProgress) -> StepKind | None:
    in_wave = progress.target in rollout.wave
    match rollout.phase:
        case Phase.PREPARING:
            return StepKind.PREPARE if progress.stage is Stage.PENDING else None
        case Phase.ROLLING if in_wave:
            goes_back = progress.needs_way_back and progress.stage in (Stage.FAILED, Stage.RESTORED) and rollout.rollback_on_failure
            return progress.way_back() if goes_back else FORWARD.get(progress.stage)
        case Phase.RESTORING if in_wave:
            return progress.way_back() if progress.needs_way_back else None
        case Phase.STOPPING if in_wave and progress.touched:
            return FORWARD.get(progress.stage)
        case Phase.RETIRING:
            return StepKind.RETIRE if progress.stage is Stage.PROVEN else None
        case _:
            return None


def in_flight(rollout: Rollout) -> tuple[str, ...]:
    """Touched targets of the open wave that have not settled: those that may be unavailable because of us."""
    touched = (progress for progress in rollout.targets if progress.touched and progress.target in rollout.wave)
    return tuple(progress.target for progress in touched if not settled(rollout, progress))
