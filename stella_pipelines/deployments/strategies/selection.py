"""From an environment's setting to the strategy that carries it out. A new strategy is one file and one line here."""

from __future__ import annotations

from typing import assert_never

from stella_pipelines.deployments.strategies.all_at_once import AllAtOnceWaves
from stella_pipelines.deployments.strategies.port import Waves
from stella_pipelines.deployments.strategies.rolling import RollingWaves
from stella_pipelines.environments.model import AllAtOnce, Rolling, Strategy


def waves_for(setting: Strategy) -> Waves:
    """The strategy for a setting."""
    match setting:
        case AllAtOnce():
            return AllAtOnceWaves(setting)
        case Rolling():
            return RollingWaves(setting)
        case _:
            assert_never(setting)
