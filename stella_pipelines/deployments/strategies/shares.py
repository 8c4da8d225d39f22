"""Counts and percentages of an environment's targets. A batch is rounded up (it must progress), a budget down (it must not grow)."""

from __future__ import annotations

import math
import re

from stella_pipelines.deployments.errors import StrategyInvalid

_PERCENT = re.compile(r"(\d{1,3})\s*%")
_COUNT = re.compile(r"\d{1,6}")


def batch_targets(batch: str | int, total: int) -> int:
    """How many of `total` targets a batch holds: at least one, at most all."""
    return min(max(1, math.ceil(_share(batch, total))), max(1, total))


def budget_targets(budget: str | int, total: int) -> int:
    """How many of `total` targets may fail. Never all of them: a rollout that reached nobody did not succeed."""
    return min(math.floor(_share(budget, total)), max(0, total - 1))


def _share(text: str | int, total: int) -> float:
    percent = _PERCENT.fullmatch(str(text).strip())
    if percent is not None and int(percent[1]) <= 100:
        return int(percent[1]) * total / 100
    if _COUNT.fullmatch(str(text).strip()):
        return int(text)
    raise StrategyInvalid(f"{text!r} is not a number of targets.", next_step="Write a count such as 2, or a percentage such as '25%'.")
