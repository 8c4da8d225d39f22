"""A rollout's state: where every target is, which of them are in the open wave, and in which phase it all is. Pure values."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

from stella_pipelines.core.values import Value
from stella_pipelines.deployments.errors import IllegalRolloutEvent
from stella_pipelines.deployments.events import Outcome
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.progress import Stage, TargetProgress
from stella_pipelines.environments.model import Strategy


class Phase(StrEnum):
    """What the rollout as a whole is about. Phases only go forward, in this order (some are left out)."""

    PREPARING = "preparing"
    ROLLING = "rolling"
    RESTORING = "restoring"
    STOPPING = "stopping"
    RETIRING = "retiring"
    ENDED = "ended"


_NAME: Final = attrgetter("target")


class Tally(Value):
    """How many targets are where. Kept with every change: to look at thousands of targets after each event would cost more than the work itself."""

    at: Mapping[Stage, int]
    doing: int
    failed: int

    @classmethod
    def of(cls, targets: tuple[TargetProgress, ...]) -> Tally:
        """Counted from the beginning."""
        at = Counter(progress.stage for progress in targets)
        doing = sum(progress.doing is not None for progress in targets)
        return cls(at=dict(at), doing=doing, failed=sum(progress.failure is not None for progress in targets))

    def moved(self, before: TargetProgress, after: TargetProgress) -> Tally:
        """After one target went from `before` to `after`."""
        at = dict(self.at)
        at[before.stage] -= 1
        at[after.stage] = at.get(after.stage, 0) + 1
        at = {stage: count for stage, count in at.items() if count}
        doing = self.doing + (after.doing is not None) - (before.doing is not None)
        failed = self.failed + (after.failure is not None) - (before.failure is not None)
        return self.model_copy(update={"at": at, "doing": doing, "failed": failed})

    def count(self, *stages: Stage) -> int:
        """How many targets are at one of these stages."""
        return sum(self.at.get(stage, 0) for stage in stages)


class Rollout(Value):
    """Where every target is, and which of them are in the open wave. Targets and wave are in the order of their names."""

    strategy: Strategy
    rollback_on_failure: bool
    timeout_s: float
    targets: tuple[TargetProgress, ...]
    tally: Tally
    phase: Phase = Phase.PREPARING
    wave: tuple[str, ...] = ()
    wave_settled: int = 0
    """How many targets at the front of the wave have settled: nobody needs to look at these again."""
    next_wave_s: float = 0.0
    failure: Failure | None = None
    outcome: Outcome | None = None

    def progress(self, target: str) -> TargetProgress:
        """One target's progress."""
        return self.targets[self._place(target)]

    def in_wave(self, target: str) -> bool:
        """Whether the target is in the open wave."""
        place = bisect_left(self.wave, target)
        return place < len(self.wave) and self.wave[place] == target

    def having(self, **changes: Any) -> Rollout:
        """The rollout with other fields."""
        return self.model_copy(update=changes)

    def replacing(self, changed: TargetProgress) -> Rollout:
        """The rollout with one target's progress changed."""
        place = self._place(changed.target)
        targets = (*self.targets[:place], changed, *self.targets[place + 1 :])
        return self.having(targets=targets, tally=self.tally.moved(self.targets[place], changed))

    def with_all(self, targets: tuple[TargetProgress, ...]) -> Rollout:
        """The rollout with every target's progress changed."""
        return self.having(targets=targets, tally=Tally.of(targets))

    def _place(self, target: str) -> int:
        place = bisect_left(self.targets, target, key=_NAME)
        if place == len(self.targets) or self.targets[place].target != target:
            raise illegal(f"target {target!r} is not part of this rollout")
        return place


def illegal(what: str) -> IllegalRolloutEvent:
    """The error for what cannot happen."""
    return IllegalRolloutEvent(f"This cannot happen in a rollout: {what}.", next_step="Keep the database and report this; the journal shows what came before.")
