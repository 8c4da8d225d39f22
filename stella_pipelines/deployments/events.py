"""What a rollout is told (events) and what it answers (steps, a pause, its end). Pure values; the rules stand in `rollout.py`."""

from __future__ import annotations

from enum import StrEnum

from stella_pipelines.core.values import Value
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import StepKind

# ---------------------------------------------------------------- what comes in


class StepStarted(Value):
    """The intent to do a step is written. Said again for the same step, it is a resumed engine that takes it up."""

    target: str
    kind: StepKind


class StepSucceeded(Value):
    """The step was done."""

    target: str
    kind: StepKind


class StepFailed(Value):
    """The step could not be done."""

    target: str
    kind: StepKind
    failure: Failure


class Aborted(Value):
    """A person wants the way back now. Only said when no engine is at work on the rollout."""

    failure: Failure


class Ticked(Value):
    """Time passed."""


Event = StepStarted | StepSucceeded | StepFailed | Aborted | Ticked


# ---------------------------------------------------------------- what goes out


class Outcome(StrEnum):
    """How a rollout ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    REFUSED = "refused"


class Step(Value):
    """A step that may begin now."""

    target: str
    kind: StepKind


class Pause(Value):
    """Nothing may begin before `until_s` of elapsed time, or (None) before a step that is being done has ended."""

    until_s: float | None


class Done(Value):
    """The rollout has ended."""

    outcome: Outcome
