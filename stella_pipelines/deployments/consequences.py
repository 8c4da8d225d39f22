"""What follows from where the targets are: waves close and open, phases change, a rollout turns back or ends. Pure.

One function per phase; each gives the rollout back unchanged when nothing follows.
"""

from __future__ import annotations

from typing import Final

from stella_pipelines.deployments.errors import DeploymentTimedOut
from stella_pipelines.deployments.events import Outcome
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import BACK, Stage, TargetProgress
from stella_pipelines.deployments.state import Phase, Rollout
from stella_pipelines.deployments.strategies.selection import waves_for


def settle(rollout: Rollout, elapsed_s: float) -> Rollout:
    """Follow every consequence until nothing changes. Each one leads to a later phase or a later wave, so this ends."""
    while True:
        following = _CONSEQUENCE[rollout.phase](rollout, elapsed_s)
        if following is rollout:
            return rollout
        rollout = following


def _settle_preparing(rollout: Rollout, elapsed_s: float) -> Rollout:
    if rollout.tally.doing:
        return rollout
    late = _timed_out(rollout, elapsed_s)
    if late is not None:
        return turn_back(rollout, late)
    if rollout.tally.count(Stage.PENDING):
        return rollout  # also when one failed: a person wants to hear about all of them at once
    failure = _first_failure(rollout)
    return rollout.having(phase=Phase.ROLLING) if failure is None else turn_back(rollout, failure)


def _settle_rolling(rollout: Rollout, elapsed_s: float) -> Rollout:
    beyond_budget = _beyond_budget(rollout)
    if beyond_budget is None and _all_settled(rollout):
        return rollout.having(phase=Phase.RETIRING, wave=())  # whoever is through when the time is up is through
    stop = beyond_budget or _timed_out(rollout, elapsed_s)
    if stop is not None:
        return turn_back(rollout, stop)
    if rollout.wave:
        return _close_settled_wave(rollout, elapsed_s)
    if elapsed_s < rollout.next_wave_s:
        return rollout
    return _open_wave(rollout, tuple(progress.target for progress in rollout.targets if progress.stage is Stage.PREPARED))


def _settle_restoring(rollout: Rollout, elapsed_s: float) -> Rollout:
    if rollout.wave:
        return _close_settled_wave(rollout, elapsed_s)
    waiting = tuple(progress.target for progress in rollout.targets if progress.needs_way_back)
    return _open_wave(rollout, waiting) if waiting else _end(rollout)


def _settle_stopping(rollout: Rollout, elapsed_s: float) -> Rollout:
    return _close_settled_wave(rollout, elapsed_s) if rollout.wave else _end(rollout)


def _settle_retiring(rollout: Rollout, elapsed_s: float) -> Rollout:
    del elapsed_s
    return rollout if rollout.tally.count(Stage.PROVEN) else _end(rollout)


def _settle_ended(rollout: Rollout, elapsed_s: float) -> Rollout:
    del elapsed_s
    return rollout


_CONSEQUENCE: Final = {
    Phase.PREPARING: _settle_preparing,
    Phase.ROLLING: _settle_rolling,
    Phase.RESTORING: _settle_restoring,
    Phase.STOPPING: _settle_stopping,
    Phase.RETIRING: _settle_retiring,
    Phase.ENDED: _settle_ended,
}


def _beyond_budget(rollout: Rollout) -> Failure | None:
    """The cause to stop: more targets failed than are accepted, or one could not go back."""
    if not rollout.tally.failed:
        return None
    too_many = rollout.tally.failed > waves_for(rollout.strategy).failures_accepted(len(rollout.targets))
    stuck = rollout.tally.count(Stage.RESTORE_FAILED) > 0
    return _first_failure(rollout) if too_many or stuck else None


def _first_failure(rollout: Rollout) -> Failure | None:
    return next((progress.failure for progress in rollout.targets if progress.failure is not None), None)


def _timed_out(rollout: Rollout, elapsed_s: float) -> Failure | None:
    if elapsed_s < rollout.timeout_s:
        return None
    error = DeploymentTimedOut(
        f"The deployment was at work for more than {rollout.timeout_s:g} s.",
        unchanged="Targets that had not begun were left as they were.",
        next_step="Look at the slowest target in the ledger, or raise deployment_timeout_s.",
    )
    return Failure.of(error)


def turn_back(rollout: Rollout, failure: Failure) -> Rollout:
    """Begin nothing new. What was touched goes back, or stays if the environment asks for that; nothing touched means refused."""
    if not any(progress.touched for progress in rollout.targets):
        return rollout.having(phase=Phase.ENDED, wave=(), failure=failure, outcome=Outcome.REFUSED)
    phase = Phase.RESTORING if rollout.rollback_on_failure else Phase.STOPPING
    return rollout.having(phase=phase, failure=failure, wave_settled=0, next_wave_s=0.0)  # the way back knows no pauses


def _open_wave(rollout: Rollout, waiting: tuple[str, ...]) -> Rollout:
    return rollout.having(wave=waves_for(rollout.strategy).next_wave(waiting, len(rollout.targets)), wave_settled=0)


def _close_settled_wave(rollout: Rollout, elapsed_s: float) -> Rollout:
    front, size = rollout.wave_settled, len(rollout.wave)
    while front < size and settled(rollout, rollout.progress(rollout.wave[front])):
        front += 1
    if front < size:
        return rollout if front == rollout.wave_settled else rollout.having(wave_settled=front)
    pauses = rollout.phase is Phase.ROLLING
    return rollout.having(wave=(), wave_settled=0, next_wave_s=elapsed_s + waves_for(rollout.strategy).pause_s if pauses else 0.0)


def _all_settled(rollout: Rollout) -> bool:
    """What `settled` says of every target of a rollout that is rolling, from the counts alone."""
    at_rest = rollout.tally.count(Stage.PROVEN, *BACK) + (0 if rollout.rollback_on_failure else rollout.tally.count(Stage.FAILED))
    return at_rest == len(rollout.targets) and not rollout.tally.doing


def settled(rollout: Rollout, progress: TargetProgress) -> bool:
    """Whether the open wave waits for this target no longer. A step that is being done is always waited for."""
    if progress.doing is not None:
        return False
    match rollout.phase:
        case Phase.ROLLING:
            failed_for_good = progress.stage is Stage.FAILED and not rollout.rollback_on_failure
            return progress.stage in (Stage.PROVEN, *BACK) or failed_for_good
        case Phase.RESTORING:
            return not progress.needs_way_back
        case _:
            return progress.stage not in (Stage.ACTIVATED, Stage.HEALTHY)


def _end(rollout: Rollout) -> Rollout:
    return rollout.having(phase=Phase.ENDED, outcome=_outcome(rollout))


def _outcome(rollout: Rollout) -> Outcome:
    if rollout.tally.count(Stage.RESTORE_FAILED):
        return Outcome.ROLLBACK_FAILED
    match rollout.phase:
        case Phase.RESTORING:
            return Outcome.ROLLED_BACK
        case Phase.STOPPING:
            return Outcome.FAILED
        case _:
            return Outcome.SUCCEEDED
