"""Which targets form the next wave, and how many may fail: counts, percentages, and what is neither."""

from __future__ import annotations

import pytest

from stella_pipelines.deployments.errors import StrategyInvalid
from stella_pipelines.deployments.strategies.all_at_once import AllAtOnceWaves
from stella_pipelines.deployments.strategies.rolling import RollingWaves
from stella_pipelines.deployments.strategies.selection import waves_for
from stella_pipelines.deployments.strategies.shares import batch_targets, budget_targets
from stella_pipelines.environments.model import AllAtOnce, Rolling

NAMES = tuple(f"t{number:02}" for number in range(10))


@pytest.mark.parametrize(
    ("batch", "total", "targets"),
    [(1, 10, 1), ("3", 10, 3), (99, 10, 10), (0, 10, 1), ("25%", 10, 3), ("100%", 10, 10), ("1%", 10, 1), ("0%", 10, 1), ("33%", 3, 1), ("34%", 3, 2)],
)
def test_a_batch_is_rounded_up_and_never_empty(batch: str | int, total: int, targets: int) -> None:
    assert batch_targets(batch, total) == targets


@pytest.mark.parametrize(
    ("budget", "total", "targets"),
    [(0, 10, 0), (2, 10, 2), ("25%", 10, 2), ("9%", 10, 0), ("100%", 10, 9), (99, 10, 9), (1, 1, 0), ("100%", 1, 0)],
)
def test_a_budget_is_rounded_down_and_never_everybody(budget: str | int, total: int, targets: int) -> None:
    assert budget_targets(budget, total) == targets


@pytest.mark.parametrize("text", ["", "half", "-1", "101%", "1.5", "20 percent", "%"])
def test_what_is_no_number_of_targets_is_refused(text: str) -> None:
    with pytest.raises(StrategyInvalid, match="not a number of targets"):
        batch_targets(text, 10)


def test_rolling_takes_the_next_batch_in_order() -> None:
    waves = RollingWaves(Rolling(batch="30%", pause_s=4.0, failure_budget=1))
    assert waves.next_wave(NAMES, 10) == NAMES[:3]
    assert waves.next_wave(NAMES[9:], 10) == NAMES[9:]
    assert waves.pause_s == 4.0
    assert waves.failures_accepted(10) == 1


def test_all_at_once_is_one_wave() -> None:
    waves = AllAtOnceWaves(AllAtOnce(failure_budget="20%"))
    assert waves.next_wave(NAMES, 10) == NAMES
    assert waves.pause_s == 0
    assert waves.failures_accepted(10) == 2


def test_each_setting_has_its_strategy() -> None:
    assert isinstance(waves_for(AllAtOnce()), AllAtOnceWaves)
    assert isinstance(waves_for(Rolling()), RollingWaves)
