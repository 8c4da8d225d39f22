"""Several engines of one deployment in threads of their own, in real time, on both databases: the database itself puts their writes in order."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from stella_pipelines.core.limits import LEASE_TTL_S
from stella_pipelines.deployments.engine import rollout_of
from stella_pipelines.deployments.errors import DeploymentNotDue
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.deployments.rollout import decide, in_flight
from stella_pipelines.deployments.shards import Shard
from stella_pipelines.environments.model import Rolling
from stella_pipelines.store import leases
from stella_pipelines.store.database import Store
from stella_pipelines.store.leases import LeaseLost
from tests.simulation.faults import Points
from tests.simulation.installation import Installation, make_estate
from tests.simulation.sharded import Worker
from tests.simulation.timeline import BEGINNING, SimulatedClock
from tests.simulation.world import World
from tests.support.two_releases import versions

TARGETS, SHARDS, BATCH = 9, 3, 3


class RealClock(SimulatedClock):
    """Simulated while everything is made ready, and real from then on."""

    def __init__(self) -> None:
        super().__init__()
        self._began_s = time.monotonic()

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.monotonic_s + time.monotonic() - self._began_s)


def approved(store: Store, clock: SimulatedClock) -> tuple[Installation, str]:
    """v1 runs, and the deployment of v2 is approved."""
    installation = Installation(store, clock, World(clock))
    installation.apply(make_estate(TARGETS, Rolling(batch=BATCH)))
    installation.deploy(installation.release("1"))
    return installation, installation.approve(installation.release("2")).id


@pytest.mark.slow
def test_engines_side_by_side_keep_one_order_and_one_limit(store: Store) -> None:
    installation, promotion = approved(store, RealClock())
    record = asyncio.run(installation.deployments.begin(promotion, "run"))

    def carry(number: int) -> None:
        worker = Worker(installation, f"run/{number}", None)
        asyncio.run(worker.deployments.roll_out_shard(promotion, Shard(number=number, count=SHARDS), "run", worker.name))

    with ThreadPoolExecutor(SHARDS) as pool:
        list(pool.map(carry, range(1, SHARDS + 1)))
    ended = asyncio.run(installation.deployments.run(promotion, "run"))
    assert ended.state is DeploymentState.SUCCEEDED
    assert versions(installation) == {"2"}
    assert set(installation.world.creations.values()) == {1}
    assert len({row.fence for row in installation.deployments.journal(record.id) if row.target == "host-1"}) == 1
    assert most_in_flight(installation, record.id) == BATCH


def most_in_flight(installation: Installation, deployment_id: str) -> int:
    """Over every state that the journal tells."""
    artifacts = installation.deployments.artifacts(deployment_id)
    assert artifacts is not None
    rollout, most = rollout_of(artifacts), 0
    for number, row in enumerate(installation.deployments.journal(deployment_id), 1):
        assert row.seq == number
        rollout = decide(rollout, row.event(), row.elapsed_s)
        most = max(most, len(in_flight(rollout)))
    return most


def test_a_shard_of_a_run_that_was_followed_does_nothing(store: Store) -> None:
    """Its step waited in a queue until somebody else had taken the environment."""
    installation, promotion = approved(store, SimulatedClock())
    asyncio.run(installation.deployments.begin(promotion, "run"))
    installation.clock.monotonic_s += LEASE_TTL_S + 1
    with store.writing() as tx:
        leases.acquire(tx, "environment/prod", "somebody else", installation.clock.now(), LEASE_TTL_S)
    touched = len(installation.world.touches)
    with pytest.raises(LeaseLost):
        asyncio.run(installation.deployments.roll_out_shard(promotion, Shard(number=1, count=1), "run", "run/1"))
    assert len(installation.world.touches) == touched


def test_a_shard_of_a_deployment_that_has_ended_is_done(store: Store) -> None:
    installation, promotion = approved(store, SimulatedClock())
    record = installation.run(promotion)
    rows = len(installation.deployments.journal(record.id))
    installation.world.points = Points()
    asyncio.run(installation.deployments.roll_out_shard(promotion, Shard(number=1, count=2), "late", "late/1"))
    assert len(installation.deployments.journal(record.id)) == rows


def test_a_shard_of_a_deployment_that_was_never_opened_is_refused(store: Store) -> None:
    installation, promotion = approved(store, SimulatedClock())
    with pytest.raises(DeploymentNotDue, match="first step"):
        asyncio.run(installation.deployments.roll_out_shard(promotion, Shard(number=1, count=2), "run", "run/1"))
    assert versions(installation) == {"1"}


def test_beginning_twice_is_beginning_once(store: Store) -> None:
    installation, promotion = approved(store, SimulatedClock())
    first = asyncio.run(installation.deployments.begin(promotion, "run"))
    assert asyncio.run(installation.deployments.begin(promotion, "run")) == first
    assert installation.run(promotion, "run").id == first.id
    assert asyncio.run(installation.deployments.begin(promotion, "another run")).ended
    with store.reading() as tx:
        assert leases.holder(tx, "environment/prod", installation.clock.now()) is None
