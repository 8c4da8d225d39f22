"""kill -9 at every point of a deployment, then resume: the same end, and no effect done twice.

A point is before and after every transaction, and before and after every effect on a target. For each n the process dies at the n-th point, a
new one runs the same command, and the world must look exactly as if nobody had died.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Rolling
from stella_pipelines.store.database import Store
from tests.simulation.faults import Killed
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World
from tests.support.databases import Databases

STRATEGY = Rolling(batch=1, pause_s=5.0)


@dataclass(frozen=True)
class Scenario:
    """What is made ready before, and the command that is killed and repeated."""

    name: str
    prepare: Callable[[Installation, Digest], str]
    command: Callable[[Installation, str], object]


def _ready(installation: Installation, v2: Digest) -> str:
    return installation.approve(v2).id


def _bad(installation: Installation, v2: Digest) -> str:
    installation.world.unhealthy.add(image("web", "2").digest)
    return _ready(installation, v2)


def _deployed(installation: Installation, v2: Digest) -> str:
    return installation.deploy(v2).id


SCENARIOS = (
    Scenario("a deployment that succeeds", _ready, lambda installation, promotion: installation.run(promotion)),
    Scenario("a deployment that goes back", _bad, lambda installation, promotion: installation.run(promotion)),
    Scenario("a rollback on command", _deployed, lambda installation, _: _rollback(installation)),
)


def _rollback(installation: Installation) -> object:
    """Repeated as an operator would: not again once it has ended, and not before the dead one's lease is over."""
    newest = installation.deployments.list("prod")[0]
    if newest.kind == "rollback" and newest.ended:
        return newest
    installation.clock.monotonic_s += 31
    return installation.rollback()


@pytest.fixture
def ready_database(databases: Databases) -> Iterator[Path]:
    with databases.fresh("sqlite") as url:
        yield Path(url.removeprefix("sqlite:///"))


def _truth(installation: Installation) -> dict[str, Any]:
    """Everything that must not depend on whether somebody died. Deployment ids are random, so versions stand for them."""
    newest = installation.deployments.list("prod")[0]
    return {
        "runs": {target: {name: digest for name, (digest, _) in runs.items()} for target, runs in installation.world.runs().items()},
        "states": [(record.kind, record.state, record.release_digest) for record in installation.deployments.list("prod")],
        "ledger": [(row.target, row.state, row.observed) for row in installation.deployments.ledger(newest.id)],
        "promotions": [promotion.state for promotion in installation.promotions.list()],
        "images": {name: frozenset(target.images) for name, target in installation.world.targets.items()},
        "kept": {name: len(target.instances) for name, target in installation.world.targets.items()},
        "evidence": _packets(installation),
    }


def _packets(installation: Installation) -> list[tuple[str, int]]:
    with installation.database.reading() as tx:
        return [(packet.kind, packet.sequence) for packet in installation.evidence.list(tx, environment="prod")]


def _made_ready(scenario: Scenario, database: Path) -> tuple[World, str]:
    """The world in which the command is about to be given, with its database in the file."""
    clock = SimulatedClock()
    first = Installation(Store.open(f"sqlite:///{database}", migrate=False), clock, World(clock))
    first.apply(make_estate(2, STRATEGY))
    first.deploy(first.release("1"))
    subject = scenario.prepare(first, first.release("2"))
    first.database.close()  # moves SQLite's log into the file, of which copies are made
    return first.world, subject


def _lived_through(scenario: Scenario, database: Path, ready: tuple[World, str], die_at: int | None) -> tuple[Installation, list[str]]:
    """The command on a copy of everything, killed, and repeated by the next process until it ended."""
    path = database.with_name(f"{database.stem}-{die_at}.db")
    shutil.copyfile(database, path)
    world, subject = copy.deepcopy(ready)
    mortal = Installation(Store.open(f"sqlite:///{path}", migrate=False), world.clock, world, seed=2, die_at=die_at)
    if die_at is None:
        scenario.command(mortal, subject)
    else:
        with pytest.raises(Killed):
            scenario.command(mortal, subject)
    survivor = mortal.reborn()
    scenario.command(survivor, subject)
    return survivor, mortal.points.passed


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_whoever_dies_wherever_the_end_is_the_same(ready_database: Path, scenario: Scenario) -> None:
    ready = _made_ready(scenario, ready_database)
    undisturbed, points = _lived_through(scenario, ready_database, ready, None)
    expected = _truth(undisturbed)
    assert len(points) > 40
    for number in range(1, len(points) + 1):
        survivor, passed = _lived_through(scenario, ready_database, ready, number)
        where = f"died at point {number}: {passed[-1]}, after {passed[-4:-1]}"
        assert _truth(survivor) == expected, where
        assert max(survivor.world.creations.values()) == 1, where
        assert survivor.world.changing_most == 1, where


def test_one_may_die_again_and_again(ready_database: Path) -> None:
    """Every process dies a little later than the one before; the work is still done once."""
    clock = SimulatedClock()
    installation = Installation(Store.open(f"sqlite:///{ready_database}", migrate=False), clock, World(clock))
    installation.apply(make_estate(3, STRATEGY))
    installation.deploy(installation.release("1"))
    promotion = installation.approve(installation.release("2"))
    deaths = 0
    for lifespan in range(8, 200):
        mortal = installation.reborn(die_at=lifespan)
        try:
            record = mortal.run(promotion.id)
        except Killed:
            deaths += 1
        else:
            break
    assert deaths > 10
    assert record.state == "succeeded"
    assert set(installation.world.creations.values()) == {1}
    assert {runs["web"][0] for runs in installation.world.runs().values()} == {image("web", "2").digest}
