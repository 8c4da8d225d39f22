"""An allow is looked at once more when it is acted upon: what began since the decision stops the deployment before its first effect."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stella_pipelines.connectors.port import TargetRefused
from stella_pipelines.deployments.errors import AllowStale
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import Estate, FreezeGateConfig, FreezeWindow, Gate, Rolling
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.store.database import Store
from tests.simulation.faults import always, no_faults
from tests.simulation.installation import Installation, make_estate
from tests.simulation.timeline import BEGINNING, SimulatedClock
from tests.simulation.world import World

FREEZE_AFTER_S = 3600.0
FROZEN_S = 7200.0


def _estate() -> Estate:
    """Two hosts that go one after the other; an hour from the beginning they are frozen for two hours."""
    starts_at = BEGINNING + timedelta(seconds=FREEZE_AFTER_S)
    window = FreezeWindow(name="year-end", reason="the books are closed", starts_at=starts_at, ends_at=starts_at + timedelta(seconds=FROZEN_S))
    estate = make_estate(2, Rolling(batch=1), rollback_on_failure=False)
    gated = estate.environments[0].model_copy(update={"gates": (Gate(name="calendar", config=FreezeGateConfig()),)})
    return estate.model_copy(update={"environments": (gated,), "freeze_windows": (window,)})


@pytest.fixture
def installation(store: Store) -> Installation:
    clock = SimulatedClock()
    made = Installation(store, clock, World(clock))
    made.apply(_estate())
    return made


def test_a_freeze_that_began_since_the_decision_stops_the_deployment_before_anything_is_touched(installation: Installation) -> None:
    promotion = installation.approve(installation.release("1"))
    assert promotion.state is PromotionState.APPROVED
    installation.clock.monotonic_s += FREEZE_AFTER_S
    record = installation.run(promotion.id)
    assert record.state is DeploymentState.REFUSED
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_ALLOW_STALE"
    assert "the books are closed" in record.failure.what
    assert installation.world.touches == []
    assert installation.world.runs() == {"host-1": {}, "host-2": {}}


def test_the_gates_decide_again_and_it_goes_on_when_they_allow_it(installation: Installation) -> None:
    promotion = installation.approve(installation.release("1"))
    installation.clock.monotonic_s += FREEZE_AFTER_S
    installation.run(promotion.id)
    installation.promotions.reevaluate(promotion.id)
    assert installation.evaluate(promotion.id).state is PromotionState.WAITING
    installation.clock.monotonic_s += FROZEN_S
    installation.promotions.reevaluate(promotion.id)
    assert installation.evaluate(promotion.id).state is PromotionState.APPROVED
    assert installation.run(promotion.id).state is DeploymentState.SUCCEEDED


def test_a_retry_waits_for_the_freeze_to_end_and_a_rollback_does_not(installation: Installation) -> None:
    installation.run(installation.approve(installation.release("1")).id)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    failed = installation.run(installation.approve(installation.release("2")).id)
    assert failed.state is DeploymentState.FAILED
    installation.world.fault = no_faults
    installation.clock.monotonic_s += FREEZE_AFTER_S
    touched = len(installation.world.touches)
    with pytest.raises(AllowStale, match="the books are closed"):
        installation.retry(failed.id)
    assert len(installation.world.touches) == touched
    assert installation.rollback().state is DeploymentState.SUCCEEDED
