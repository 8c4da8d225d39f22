"""Every target in one wave."""

from __future__ import annotations

from dataclasses import dataclass

from stella_pipelines.deployments.strategies.shares import budget_targets
from stella_pipelines.environments.model import AllAtOnce


@dataclass(frozen=True)
class AllAtOnceWaves:
    """One wave with everybody in it."""

    setting: AllAtOnce
    pause_s: float = 0.0

    def next_wave(self, waiting: tuple[str, ...], total: int) -> tuple[str, ...]:
        del total
        return waiting

    def failures_accepted(self, total: int) -> int:
        return budget_targets(self.setting.failure_budget, total)
