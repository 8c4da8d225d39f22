"""One rollout shared by several engines: whatever its workers do and whenever they die, its limits hold over all shards, and it ends."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.connectors.port import StaleFence, TargetRefused
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.engine import rollout_of
from stella_pipelines.deployments.errors import PlanIncomplete
from stella_pipelines.deployments.journal import JournalRow
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState
from stella_pipelines.deployments.rollout import decide, in_flight
from stella_pipelines.deployments.shards import shards_for
from stella_pipelines.deployments.state import Phase, Rollout
from stella_pipelines.deployments.strategies.shares import batch_targets, budget_targets
from stella_pipelines.environments.model import AllAtOnce, Rolling, Strategy
from stella_pipelines.store.database import Store
from stella_pipelines.store.leases import LeaseLost
from tests.simulation.faults import Fault, always, no_faults, random_faults
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.sharded import ShardedRun
from tests.simulation.timeline import SimulatedClock, simulate
from tests.simulation.world import World
from tests.support.databases import Databases

SEEDS = range(20)
TARGETS = 9
V2 = image("web", "2").digest


@pytest.fixture
def database(databases: Databases) -> Iterator[Path]:
    with databases.fresh("sqlite") as url:
        yield Path(url.removeprefix("sqlite:///"))


def installed(database: Path, name: str, strategy: Strategy, **environment: Any) -> tuple[Installation, str]:
    """An installation of its own in which v1 runs and the deployment of v2 is approved."""
    path = shutil.copyfile(database, database.with_name(f"{database.stem}-{name}.db"))
    clock = SimulatedClock()
    installation = Installation(Store.open(f"sqlite:///{path}", migrate=False), clock, World(clock))
    installation.apply(make_estate(TARGETS, strategy, **environment))
    installation.deploy(installation.release("1"))
    return installation, installation.approve(installation.release("2")).id


def immortal(worker: int) -> int | None:
    return None


def mortals(dice: random.Random, count: int) -> Callable[[int], int | None]:
    """The first ones die somewhere, the later ones live."""
    return lambda worker: dice.randint(1, 60) if worker <= count else None


# ---------------------------------------------------------------- the sentences


def check_course(installation: Installation, record: DeploymentRecord) -> list[JournalRow]:
    """Every state that the journal tells, one after the other: the limits held in all of them."""
    artifacts = installation.deployments.artifacts(record.id)
    assert artifacts is not None
    rows = installation.deployments.journal(record.id)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.elapsed_s for row in rows] == sorted(row.elapsed_s for row in rows), "one clock over all engines"
    rollout, stopped_with = rollout_of(artifacts), None
    for row in rows:
        rollout = decide(rollout, row.event(), row.elapsed_s)
        assert len(in_flight(rollout)) <= batch_of(rollout), f"row {row.seq}"
        assert stopped_with in (None, touched(rollout)), f"row {row.seq}: a new target was touched after the budget was spent"
        if stopped_with is None and must_stop(rollout):
            stopped_with = touched(rollout)
    return rows


def batch_of(rollout: Rollout) -> int:
    total = len(rollout.targets)
    return batch_targets(rollout.strategy.batch, total) if isinstance(rollout.strategy, Rolling) else total


def touched(rollout: Rollout) -> frozenset[str]:
    return frozenset(progress.target for progress in rollout.targets if progress.touched)


def must_stop(rollout: Rollout) -> bool:
    if rollout.phase not in (Phase.ROLLING, Phase.RESTORING, Phase.STOPPING):
        return False
    return rollout.tally.failed > budget_targets(rollout.strategy.failure_budget, len(rollout.targets))


def check_world(installation: Installation, record: DeploymentRecord, batch: int) -> None:
    """The targets themselves: never too many at once, nothing done twice, and they run what the ledger says."""
    assert installation.world.changing_most <= batch
    assert max(installation.world.creations.values()) == 1
    shown = {row.target: row.observed for row in installation.deployments.ledger(record.id)}
    truth = {target: {"web": runs["web"][0]} for target, runs in installation.world.runs().items() if runs}
    assert all(shown[target] == truth[target] for target in truth if shown[target])


def runs(installation: Installation) -> dict[str, Digest | None]:
    return {target: found["web"][0] if found else None for target, found in installation.world.runs().items()}


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize("seed", SEEDS)
def test_random_deaths_and_faults_break_no_promise(database: Path, seed: int) -> None:
    dice = random.Random(seed)
    strategy = Rolling(batch=dice.choice([1, 2, 3, "50%"]), pause_s=dice.choice([0.0, 4.0]), failure_budget=dice.choice([0, 1, "40%"]))
    installation, promotion = installed(database, str(seed), strategy, rollback_on_failure=dice.random() < 0.8)
    installation.world.changing_most = 0
    if dice.random() < 0.3:
        installation.world.unhealthy.add(V2)
    installation.world.fault = random_faults(dice.randrange(10**6), dice.choice([0.0, 0.02, 0.1]))
    run = ShardedRun(installation, "run-1", shards=dice.choice([1, 2, 4]), slots=dice.choice([1, 2, 4]), dice=dice, lives=mortals(dice, 5))
    record = run_through_faults(run, promotion)
    assert record.ended
    check_course(installation, record)
    check_world(installation, record, batch_targets(strategy.batch, TARGETS))


def run_through_faults(run: ShardedRun, promotion: str) -> DeploymentRecord:
    """A plan that could not be made is asked for again by the next run; here, by the same one."""
    for _ in range(60):
        try:
            return run.carried_out(promotion)
        except PlanIncomplete:
            continue
    raise AssertionError("the deployment never began")


FAULTS: dict[str, tuple[Fault, bool]] = {
    "all is well": (no_faults, False),
    "one within the budget": (always({("host-5", "activate"): TargetRefused}), False),
    "the budget is spent": (always({("host-2", "activate"): TargetRefused, ("host-6", "activate"): TargetRefused}), False),
    "it never gets healthy": (no_faults, True),
    "one cannot be prepared": (always({("host-9", "prepare"): TargetRefused}), False),
    "one cannot go back": (always({("host-3", "restore"): TargetRefused}), True),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("strategy", [Rolling(batch=2, failure_budget=1), AllAtOnce(failure_budget=1)], ids=["rolling", "all at once"])
def test_the_end_is_that_of_an_unsharded_deployment(database: Path, name: str, strategy: Strategy) -> None:
    alone, promotion_alone = installed(database, "alone", strategy)
    shared, promotion_shared = installed(database, "shared", strategy)
    for installation in (alone, shared):
        installation.world.fault, sick = FAULTS[name]
        installation.world.unhealthy |= {V2} if sick else set()
    expected = alone.run(promotion_alone)
    # Who dies early enough is never touched at all, and then cannot be stuck half-way: a stuck target is only certain when nobody dies.
    deaths = 0 if name == "one cannot go back" else 3
    run = ShardedRun(shared, "run-1", shards=4, slots=4, dice=random.Random(7), lives=mortals(random.Random(8), deaths))
    found = run.carried_out(promotion_shared)
    assert (run.deaths > 0) == (deaths > 0)
    check_course(shared, found)
    assert (found.state, found.failure and found.failure.code) == (expected.state, expected.failure and expected.failure.code)
    assert runs(shared) == runs(alone)
    assert shared.promotions.get(promotion_shared).state is alone.promotions.get(promotion_alone).state
    assert max(shared.world.creations.values()) == 1


# ---------------------------------------------------------------- what may happen to workers


def test_every_shard_works_on_every_wave(database: Path) -> None:
    installation, promotion = installed(database, "waves", Rolling(batch=3))
    record = ShardedRun(installation, "run-1", shards=3, slots=3, dice=random.Random(1), lives=immortal).carried_out(promotion)
    assert record.state is DeploymentState.SUCCEEDED
    rows = check_course(installation, record)
    assert len({row.fence for row in rows if row.target == "host-1"}) == 1
    assert installation.world.changing_most == 3


def test_fewer_workers_than_shards_do_all_of_them(database: Path) -> None:
    """Nobody may be touched before all are prepared, and two of the shards have no worker: those who wait take their targets over."""
    installation, promotion = installed(database, "few", Rolling(batch=3))
    record = ShardedRun(installation, "run-1", shards=4, slots=2, dice=random.Random(1), lives=immortal).carried_out(promotion)
    assert record.state is DeploymentState.SUCCEEDED
    check_course(installation, record)
    assert set(runs(installation).values()) == {V2}


def test_the_targets_of_a_dead_worker_are_taken_over_when_its_leases_end(database: Path) -> None:
    installation, promotion = installed(database, "dead", Rolling(batch=3))
    lives = iter([25, None, None, None, None])
    began_s = installation.clock.monotonic_s
    run = ShardedRun(installation, "run-1", shards=3, slots=3, dice=random.Random(1), lives=lambda worker: next(lives))
    record = run.carried_out(promotion)
    assert run.deaths == 1
    assert record.state is DeploymentState.SUCCEEDED
    rows = check_course(installation, record)
    gap_s = max(later.elapsed_s - earlier.elapsed_s for earlier, later in itertools.pairwise(rows))
    assert 20 < gap_s < 45, "after the leases' end, and not much later"
    assert installation.clock.monotonic_s - began_s < 120


def test_a_run_that_follows_a_dead_one_goes_on_at_once(database: Path) -> None:
    installation, promotion = installed(database, "followed", Rolling(batch=3))
    first = ShardedRun(installation, "run-1", shards=3, slots=3, dice=random.Random(1), lives=immortal)

    async def cut() -> None:
        task = asyncio.create_task(first.work(promotion))
        await asyncio.sleep(12.0)
        installation.points.dead = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    simulate(installation.clock, cut())
    following = installation.reborn()
    following.dead |= {"run-1"}
    began_s = following.clock.monotonic_s
    second = ShardedRun(following, "run-2", shards=3, slots=3, dice=random.Random(2), lives=immortal)
    record = second.carried_out(promotion)
    assert record.state is DeploymentState.SUCCEEDED
    check_course(following, record)
    assert max(following.world.creations.values()) == 1
    assert following.clock.monotonic_s - began_s < 30


def test_workers_of_a_run_that_was_believed_dead_stop_before_their_next_effect(database: Path) -> None:
    installation, promotion = installed(database, "late", Rolling(batch=2))
    late = ShardedRun(installation, "run-1", shards=3, slots=3, dice=random.Random(1), lives=immortal)

    async def both() -> tuple[DeploymentRecord, BaseException]:
        first = asyncio.create_task(late.work(promotion))
        await asyncio.sleep(9.0)
        installation.dead |= {"run-1"}
        second = ShardedRun(installation, "run-2", shards=3, slots=3, dice=random.Random(2), lives=immortal)
        record = await second.work(promotion)
        (error,) = await asyncio.gather(first, return_exceptions=True)
        assert isinstance(error, BaseException)
        return record, error

    record, error = simulate(installation.clock, both())
    assert isinstance(error, LeaseLost | StaleFence)
    assert record.state is DeploymentState.SUCCEEDED
    check_course(installation, record)
    assert max(installation.world.creations.values()) == 1
    assert installation.world.changing_most <= 9


def test_a_step_that_is_done_twice_at_the_same_time_leaves_the_first_one_alone(database: Path) -> None:
    """A queue may deliver a step a second time while the first one is at work."""
    installation, promotion = installed(database, "twice", Rolling(batch=3))
    one = ShardedRun(installation, "run-1", shards=3, slots=9, dice=random.Random(1), lives=immortal)

    async def twice() -> DeploymentRecord:
        first = asyncio.create_task(one.work(promotion))
        await asyncio.sleep(8.0)
        await asyncio.gather(*(one.carry(promotion, shard) for shard in shards_for(TARGETS, 3)))
        return await first

    record = simulate(installation.clock, twice())
    assert record.state is DeploymentState.SUCCEEDED
    rows = check_course(installation, record)
    assert len({(row.target, row.fence) for row in rows if row.target}) == TARGETS
