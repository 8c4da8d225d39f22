"""One target's trip through a rollout: its stages, and the one step that leads from each to the next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from stella_pipelines.core.values import Value
from stella_pipelines.deployments.failure import Failure


class StepKind(StrEnum):
    """What is done to one target as one journaled unit. Every step may be repeated without a second effect."""

    PREPARE = "prepare"
    ACTIVATE = "activate"
    PROVE_HEALTH = "prove_health"
    PROVE_DIGEST = "prove_digest"
    RESTORE = "restore"
    PROVE_RESTORED = "prove_restored"
    RETIRE = "retire"


class Stage(StrEnum):
    """How far a target came."""

    PENDING = "pending"
    PREPARED = "prepared"
    ACTIVATED = "activated"
    HEALTHY = "healthy"
    PROVEN = "proven"
    RETIRED = "retired"
    FAILED = "failed"
    RESTORED = "restored"
    ROLLED_BACK = "rolled_back"
    RESTORE_FAILED = "restore_failed"


FORWARD: Final[Mapping[Stage, StepKind]] = {
    Stage.PREPARED: StepKind.ACTIVATE,
    Stage.ACTIVATED: StepKind.PROVE_HEALTH,
    Stage.HEALTHY: StepKind.PROVE_DIGEST,
}
"""The step that brings a target from a stage closer to the release."""

REACHED: Final[Mapping[StepKind, Stage]] = {
    StepKind.PREPARE: Stage.PREPARED,
    StepKind.ACTIVATE: Stage.ACTIVATED,
    StepKind.PROVE_HEALTH: Stage.HEALTHY,
    StepKind.PROVE_DIGEST: Stage.PROVEN,
    StepKind.RESTORE: Stage.RESTORED,
    StepKind.PROVE_RESTORED: Stage.ROLLED_BACK,
    StepKind.RETIRE: Stage.RETIRED,
}
"""Where a step leads when it succeeds."""

MISSED: Final[Mapping[StepKind, Stage]] = {
    StepKind.PREPARE: Stage.FAILED,
    StepKind.ACTIVATE: Stage.FAILED,
    StepKind.PROVE_HEALTH: Stage.FAILED,
    StepKind.PROVE_DIGEST: Stage.FAILED,
    StepKind.RESTORE: Stage.RESTORE_FAILED,
    StepKind.PROVE_RESTORED: Stage.RESTORE_FAILED,
    # Old stopped instances that could not be removed take room and harm nobody: noted, and the target still counts as done.
    StepKind.RETIRE: Stage.RETIRED,
}
"""Where a step leads when it fails."""

BACK: Final = (Stage.ROLLED_BACK, Stage.RESTORE_FAILED)
"""The way back was taken to its end, good or bad."""


class TargetProgress(Value):
    """One target in a rollout. `touched` is set before the first change and never cleared: a touched target has a way back to take."""

    target: str
    stage: Stage = Stage.PENDING
    doing: StepKind | None = None
    touched: bool = False
    failure: Failure | None = None
    restore_failure: Failure | None = None

    def started(self, kind: StepKind) -> TargetProgress:
        """A step begins."""
        return self.model_copy(update={"doing": kind, "touched": self.touched or kind is StepKind.ACTIVATE})

    def succeeded(self) -> TargetProgress:
        """The step that is being done ended well."""
        assert self.doing is not None
        return self.model_copy(update={"doing": None, "stage": REACHED[self.doing]})

    def failed(self, failure: Failure) -> TargetProgress:
        """The step that is being done failed. The first failure on the way forward is kept: it is the cause."""
        assert self.doing is not None
        field = "restore_failure" if MISSED[self.doing] is Stage.RESTORE_FAILED else "failure"
        return self.model_copy(update={"doing": None, "stage": MISSED[self.doing], field: failure})

    def interrupted(self) -> TargetProgress:
        """Whoever was doing a step is gone, and the step is not wanted any more."""
        return self.model_copy(update={"doing": None})

    @property
    def needs_way_back(self) -> bool:
        """Touched, and not yet back."""
        return self.touched and self.stage not in BACK

    def way_back(self) -> StepKind:
        """The next step of the way back."""
        return StepKind.PROVE_RESTORED if self.stage is Stage.RESTORED else StepKind.RESTORE
