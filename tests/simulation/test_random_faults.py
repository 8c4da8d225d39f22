"""The real engine against machines that fail at random. Every seed is another schedule; a failure names its seed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.errors import PlanIncomplete
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, TargetState
from stella_pipelines.deployments.strategies.shares import batch_targets
from stella_pipelines.environments.model import Rolling
from stella_pipelines.store.database import Store
from tests.simulation.faults import Killed, random_faults
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World
from tests.support.databases import Databases
from tests.support.predicate_schemas import require_every_packet_fits

SEEDS = range(30)
TARGETS = 5
V1, V2 = image("web", "1").digest, image("web", "2").digest


@pytest.fixture
def database(databases: Databases) -> Iterator[Path]:
    with databases.fresh("sqlite") as url:
        yield Path(url.removeprefix("sqlite:///"))


def _deploy_through_faults(installation: Installation, dice: random.Random) -> tuple[Installation, DeploymentRecord]:
    """Run, and run again after every death and every plan that could not be made, as the reconciling sensor does."""
    promotion = installation.approve(installation.release("2"))
    if dice.random() < 0.3:
        installation.world.unhealthy.add(V2)
    for attempt in range(30):
        installation = installation.reborn(die_at=dice.randint(1, 150) if attempt < 5 else None)
        installation.world.fault = random_faults(dice.randrange(10**6), dice.choice([0.0, 0.02, 0.1]))
        try:
            return installation, installation.run(promotion.id)
        except (Killed, PlanIncomplete):
            continue
    raise AssertionError("the deployment never ended")


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_break_no_promise(database: Path, seed: int) -> None:
    dice = random.Random(seed)
    path = shutil.copyfile(database, database.with_name(f"{database.stem}-{seed}.db"))
    clock = SimulatedClock()
    installation = Installation(Store.open(f"sqlite:///{path}", migrate=False), clock, World(clock), seed=seed)
    strategy = Rolling(batch=dice.choice([1, 2, "50%"]), failure_budget=dice.choice([0, 1, "40%"]))
    installation.apply(make_estate(TARGETS, strategy, rollback_on_failure=dice.random() < 0.8))
    installation.deploy(installation.release("1"))
    installation, record = _deploy_through_faults(installation, dice)

    _no_more_changed_together_than_the_batch(installation.world, batch_targets(strategy.batch, TARGETS))
    _nobody_was_touched_before_all_were_prepared(installation.world, record)
    _no_instance_was_created_twice(installation.world)
    _the_ledger_says_what_the_targets_say(installation, record)
    _every_end_has_its_evidence(installation, record)
    assert require_every_packet_fits(installation.database, installation.evidence) >= {"release", "decision", "summary"}


def _no_more_changed_together_than_the_batch(world: World, batch: int) -> None:
    assert world.changing_most <= batch


def _nobody_was_touched_before_all_were_prepared(world: World, record: DeploymentRecord) -> None:
    touches = [touch for touch in world.touches if touch.deployment_id == record.id]
    assert all(len(touch.prepared) == TARGETS for touch in touches)


def _no_instance_was_created_twice(world: World) -> None:
    assert max(world.creations.values()) == 1


def _the_ledger_says_what_the_targets_say(installation: Installation, record: DeploymentRecord) -> None:
    truth: dict[str, Digest | None] = {target: runs["web"][0] if runs else None for target, runs in installation.world.runs().items()}
    rows = installation.deployments.ledger(record.id)
    wanted = {TargetState.SUCCEEDED: V2, TargetState.ROLLED_BACK: V1, TargetState.UNTOUCHED: V1}
    assert all(truth[row.target] == wanted[row.state] for row in rows if row.state in wanted)
    seen = installation.deployments.last_observation("prod")
    assert seen is not None
    answered = {target.target for target in seen.targets if target.observation is not None}
    assert all(row.observed == {"web": truth[row.target]} for row in rows if row.target in answered)
    if record.state is DeploymentState.ROLLED_BACK:
        assert set(truth.values()) == {V1}


def _every_end_has_its_evidence(installation: Installation, record: DeploymentRecord) -> None:
    with installation.database.reading() as tx:
        packets = [packet for packet in installation.evidence.list(tx, environment="prod", subject=V2) if packet.kind != "decision"]
    assert [packet.id for packet in packets] == [record.packet_id]
    assert (packets[0].kind == "rollback") == (record.state in (DeploymentState.ROLLED_BACK, DeploymentState.ROLLBACK_FAILED))
