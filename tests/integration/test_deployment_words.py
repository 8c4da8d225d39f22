"""Whatever words an engine, an image or a person uses, the deployment that quotes them ends, and says so in the store and in its evidence."""

from __future__ import annotations

import pytest

from stella_pipelines.connectors.port import ConnectorError, TargetRefused
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import Rolling
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.store.database import Store
from tests.simulation.installation import ALICE, Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock, simulate
from tests.simulation.world import World


@pytest.fixture
def installation(store: Store) -> Installation:
    clock = SimulatedClock()
    installation = Installation(store, clock, World(clock))
    installation.apply(make_estate(2, Rolling(batch=1)))
    assert installation.deploy(installation.release("1")).state is DeploymentState.SUCCEEDED
    return installation


@pytest.mark.parametrize(("said", "kept"), [("\ud800", "?"), ("a\udcff", "a?"), ("\x00", "\ufffd"), ("\x1b[2J", "\ufffd[2J")])
def test_a_failure_in_any_words_is_rolled_back_and_sealed(installation: Installation, said: str, kept: str) -> None:
    def refuse(target: str, operation: str, moment: str) -> ConnectorError | None:
        refuses = (target, operation, moment) == ("host-2", "activate", "before")
        return TargetRefused(f"The engine says: {said}", next_step=f"Ask it about {said}.") if refuses else None

    promotion = installation.approve(installation.release("2"))
    installation.world.fault = refuse
    record = installation.run(promotion.id)
    assert record.state is DeploymentState.ROLLED_BACK
    assert record.failure is not None
    assert record.failure.what == f"The engine says: {kept}"
    assert installation.promotions.get(promotion.id).state is PromotionState.ROLLED_BACK
    assert record.packet_id is not None
    with installation.database.reading() as tx:
        _, verified = read_verified(installation.evidence, tx, record.packet_id)
        assert audit.list_entries(tx, subject=record.id)[0].reason == record.failure.what
    assert verified.statement.predicate["failure"]["what"] == record.failure.what
    assert {runs["web"][0] for runs in installation.world.runs().values()} == {image("web", "1").digest}


def test_a_person_whose_terminal_sends_broken_bytes_is_not_kept_from_rolling_back(installation: Installation) -> None:
    """Refusing the reason would refuse the rollback, at the moment when it is wanted most."""
    installation.deploy(installation.release("2"))
    record = simulate(installation.clock, installation.deployments.rollback(ALICE, "prod", None, "shop is down \udcff\x00"))
    assert record.state is DeploymentState.SUCCEEDED
    assert record.reason == "shop is down ?\ufffd"
