"""A batch at a time, with a pause between batches."""

from __future__ import annotations

from dataclasses import dataclass

from stella_pipelines.deployments.strategies.shares import batch_targets, budget_targets
from stella_pipelines.environments.model import Rolling


@dataclass(frozen=True)
class RollingWaves:
    """Waves of `batch` targets, in the targets' order."""

    setting: Rolling

    @property
    def pause_s(self) -> float:
        return self.setting.pause_s

    def next_wave(self, waiting: tuple[str, ...], total: int) -> tuple[str, ...]:
        return waiting[: batch_targets(self.setting.batch, total)]

    def failures_accepted(self, total: int) -> int:
        return budget_targets(self.setting.failure_budget, total)
