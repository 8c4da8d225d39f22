"""A rollout's state: where every target is, which of them are in the open wave, and in which phase it all is. Pure values."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from stella_pipelines.core.values import Value
from stella_pipelines.deployments.errors import IllegalRolloutEvent
from stella_pipelines.deployments.events import Outcome
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import TargetProgress
from stella_pipelines.environments.model import Strategy


class Phase(StrEnum):
    """What the rollout as a whole is about. Phases only go forward, in this order (some are left out)."""

    PREPARING = "preparing"
    ROLLING = "rolling"
    RESTORING = "restoring"
    STOPPING = "stopping"
    RETIRING = "retiring"
    ENDED = "ended"


class Rollout(Value):
    """Where every target is, and which of them are in the open wave."""

    strategy: Strategy
    rollback_on_failure: bool
    timeout_s: float
    targets: tuple[TargetProgress, ...]
    phase: Phase = Phase.PREPARING
    wave: tuple[str, ...] = ()
    next_wave_s: float = 0.0
    failure: Failure | None = None
    outcome: Outcome | None = None

    def progress(self, target: str) -> TargetProgress:
        """One target's progress."""
        found = next((progress for progress in self.targets if progress.target == target), None)
        if found is None:
            raise illegal(f"target {target!r} is not part of this rollout")
        return found

    def having(self, **changes: Any) -> Rollout:
        """The rollout with other fields."""
        return self.model_copy(update=changes)

    def replacing(self, changed: TargetProgress) -> Rollout:
        """The rollout with one target's progress changed."""
        return self.having(targets=tuple(changed if progress.target == changed.target else progress for progress in self.targets))


def illegal(what: str) -> IllegalRolloutEvent:
    """The error for what cannot happen."""
    return IllegalRolloutEvent(f"This cannot happen in a rollout: {what}.", next_step="Keep the database and report this; the journal shows what came before.")
