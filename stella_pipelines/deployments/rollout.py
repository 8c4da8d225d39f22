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

from collections.abc import Collection, Container, Iterator

from stella_pipelines.deployments.consequences import settle, settled, turn_back
from stella_pipelines.deployments.events import Aborted, Done, Event, Pause, Step, StepFailed, StepStarted, StepSucceeded, Ticked
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import BACK, FORWARD, Stage, StepKind, TargetProgress
from stella_pipelines.deployments.state import Phase, Rollout, Tally, illegal
from stella_pipelines.environments.model import Strategy


def start(targets: tuple[str, ...], strategy: Strategy, *, rollback_on_failure: bool, timeout_s: float) -> Rollout:
    """A rollout in which nothing has happened. Targets come in the order of their names."""
    waiting = tuple(TargetProgress(target=target) for target in sorted(set(targets)))
    return Rollout(strategy=strategy, rollback_on_failure=rollback_on_failure, timeout_s=timeout_s, targets=waiting, tally=Tally.of(waiting))


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
    stopped = rollout.with_all(tuple(progress.interrupted() for progress in rollout.targets))
    return turn_back(stopped.having(rollback_on_failure=True), failure)


# ---------------------------------------------------------------- what may begin now


def next_steps(rollout: Rollout, among: Collection[str] | None = None, without: Container[str] = ()) -> tuple[Step, ...] | Pause | Done:
    """The steps that may begin now, or what to wait for, or how it ended. `among` leaves out the steps of all other targets, `without` of these."""
    if rollout.outcome is not None:
        return Done(outcome=rollout.outcome)
    steps = tuple(_steps(rollout, among, without))
    if steps:
        return steps
    return Pause(until_s=None if rollout.tally.doing else min(rollout.next_wave_s, rollout.timeout_s))


def may_begin(rollout: Rollout, step: Step) -> bool:
    """Whether a step may begin, or, begun by an engine that is gone, be taken up again."""
    progress = rollout.progress(step.target)
    return progress.doing is step.kind or (progress.doing is None and _next_kind(rollout, progress) is step.kind)


def under_way(rollout: Rollout, among: Collection[str] | None = None) -> tuple[Step, ...]:
    """The steps that somebody has begun."""
    return tuple(Step(target=progress.target, kind=progress.doing) for progress in _looked_at(rollout, among) if progress.doing)


def due(rollout: Rollout) -> frozenset[str]:
    """The targets on which the rollout waits for somebody: a step of theirs may begin, or was begun."""
    return frozenset(step.target for step in (*_steps(rollout, None, ()), *under_way(rollout)))


def _steps(rollout: Rollout, among: Collection[str] | None, without: Container[str]) -> Iterator[Step]:
    for progress in _looked_at(rollout, among):
        idle = progress.doing is None and progress.target not in without
        kind = _next_kind(rollout, progress) if idle else None
        if kind is not None:
            yield Step(target=progress.target, kind=kind)


def _looked_at(rollout: Rollout, among: Collection[str] | None) -> Iterator[TargetProgress]:
    """The targets for which something may be to do; outside of the first and the last phase, these are the wave's."""
    if rollout.phase in (Phase.PREPARING, Phase.RETIRING):
        names: Collection[str] | None = among
    else:
        names = rollout.wave if among is None else [name for name in among if rollout.in_wave(name)]
    return iter(rollout.targets) if names is None else map(rollout.progress, names)


def _next_kind(rollout: Rollout, progress: TargetProgress) -> StepKind | None:
    match rollout.phase:
        case Phase.PREPARING:
            return StepKind.PREPARE if progress.stage is Stage.PENDING else None
        case Phase.RETIRING:
            return StepKind.RETIRE if progress.stage is Stage.PROVEN else None
        case _:
            return _next_in_wave(rollout, progress) if rollout.in_wave(progress.target) else None


def _next_in_wave(rollout: Rollout, progress: TargetProgress) -> StepKind | None:
    match rollout.phase:
        case Phase.ROLLING:
            goes_back = progress.needs_way_back and progress.stage in (Stage.FAILED, Stage.RESTORED) and rollout.rollback_on_failure
            return progress.way_back() if goes_back else FORWARD.get(progress.stage)
        case Phase.RESTORING:
            return progress.way_back() if progress.needs_way_back else None
        case Phase.STOPPING if progress.touched:
            return FORWARD.get(progress.stage)
        case _:
            return None


def through(rollout: Rollout) -> int:
    """How many targets are where they shall stay, as the rollout stands."""
    at_rest = () if rollout.phase is Phase.RESTORING else (Stage.PROVEN, Stage.RETIRED)
    failed = () if rollout.rollback_on_failure else (Stage.FAILED,)
    return rollout.tally.count(*BACK, *at_rest, *failed)


def in_flight(rollout: Rollout) -> tuple[str, ...]:
    """Touched targets of the open wave that have not settled: those that may be unavailable because of us."""
    touched = (progress for progress in map(rollout.progress, rollout.wave) if progress.touched)
    return tuple(progress.target for progress in touched if not settled(rollout, progress))
