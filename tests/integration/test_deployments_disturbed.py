"""Deployments while the store goes away, the clock jumps, or somebody else comes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from stella_pipelines.connectors.port import StaleFence, TargetRefused
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import LEASE_TTL_S
from stella_pipelines.deployments.errors import DeploymentNotDue, DeploymentUnfinished, JournalTaken
from stella_pipelines.deployments.limits import DATABASE_PATIENCE_S
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, Progress
from stella_pipelines.environments.model import AllAtOnce, Rolling
from stella_pipelines.store import leases
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import Conflict, DatabaseUnreachable
from stella_pipelines.store.leases import LeaseHeld, LeaseLost
from tests.simulation.faults import Killed, always, no_faults
from tests.simulation.installation import ALICE, Installation
from tests.simulation.timeline import simulate
from tests.support.two_releases import two_releases, versions


def test_a_store_that_comes_back_in_time_is_waited_for(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1))
    promotion = installation.approve(v2)
    begins_s = installation.clock.monotonic_s + 1.0
    installation.store.gone = lambda: begins_s < installation.clock.monotonic_s < begins_s + DATABASE_PATIENCE_S - 5
    assert installation.run(promotion.id).state is DeploymentState.SUCCEEDED
    assert installation.clock.monotonic_s > begins_s + DATABASE_PATIENCE_S - 5


def test_a_store_that_stays_away_stops_the_engine_before_the_next_effect(store: Store) -> None:
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1))
    promotion = installation.approve(v2)
    installation.store.gone = lambda: len(installation.world.touches) > 3
    with pytest.raises(DatabaseUnreachable):
        installation.run(promotion.id)
    assert len(installation.world.touches) == 4
    record = installation.reborn().run(promotion.id)
    assert record.state is DeploymentState.SUCCEEDED
    assert set(installation.world.creations.values()) == {1}


def test_a_commit_whose_answer_was_lost_is_not_written_twice(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    promotion = installation.approve(v2)
    installation.store.commits_lost = 1
    record = _lossy_run(installation, promotion.id)
    assert record.state is DeploymentState.SUCCEEDED
    rows = installation.deployments.journal(record.id)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))


def _lossy_run(installation: Installation, promotion_id: str) -> DeploymentRecord:
    def lose(progress: object) -> None:
        installation.store.commits_lost = 1

    return simulate(installation.clock, installation.deployments.run(promotion_id, "holder", lose))


@pytest.mark.parametrize("jump_s", [-60.0, 3600.0])
def test_a_wall_clock_that_jumps_changes_nothing(store: Store, jump_s: float) -> None:
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1, pause_s=10.0), deployment_timeout_s=120.0)
    promotion = installation.approve(v2)

    def jump(progress: Progress) -> None:
        if progress.step == "activate" and progress.target == "host-2":
            installation.clock.jump_s = jump_s

    record = simulate(installation.clock, installation.deployments.run(promotion.id, "holder", jump))
    assert record.state is DeploymentState.SUCCEEDED
    assert versions(installation) == {"2"}


def test_a_lease_that_was_taken_stops_the_engine_at_once(store: Store) -> None:
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1))
    promotion = installation.approve(v2)

    def steal(progress: Progress) -> None:
        if progress.step == "activate" and progress.target == "host-1" and progress.event == "succeeded":
            with store.writing() as tx:
                now = installation.clock.now() + timedelta(seconds=LEASE_TTL_S + 1)
                leases.acquire(tx, "environment/prod", "somebody else", now, 1.0)

    with pytest.raises(LeaseLost):
        simulate(installation.clock, installation.deployments.run(promotion.id, "holder", steal))
    assert [touch.target for touch in installation.world.touches[3:]] == ["host-1"]
    assert versions(installation) == {"1", "2"}


def test_two_runs_of_one_promotion_never_act_together(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1))
    promotion = installation.approve(v2)

    async def both() -> list[DeploymentRecord | BaseException]:
        one = installation.deployments.run(promotion.id, "run/1")
        two = installation.deployments.run(promotion.id, "run/2")
        return await asyncio.gather(one, two, return_exceptions=True)

    first, second = simulate(installation.clock, both())
    assert isinstance(first, DeploymentRecord)
    assert first.state is DeploymentState.SUCCEEDED
    assert isinstance(second, LeaseHeld), "the second one takes nothing away from the first, which goes on undisturbed"
    assert second.holder == "run/1"
    assert set(installation.world.creations.values()) == {1}


def test_a_run_that_was_believed_dead_and_is_not_stops_before_its_next_effect(store: Store) -> None:
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1))
    promotion = installation.approve(v2)

    async def both() -> list[DeploymentRecord | BaseException]:
        one = asyncio.create_task(installation.deployments.run(promotion.id, "run/1"))
        await asyncio.sleep(1.0)
        two = installation.deployments.run(promotion.id, "run/2", gone=lambda holder: holder == "run/1")
        return await asyncio.gather(one, two, return_exceptions=True)

    first, second = simulate(installation.clock, both())
    assert isinstance(first, LeaseLost | StaleFence | JournalTaken | Conflict)
    assert isinstance(second, DeploymentRecord)
    assert second.state is DeploymentState.SUCCEEDED
    assert versions(installation) == {"2"}
    assert set(installation.world.creations.values()) == {1}


def test_another_holder_is_refused_while_a_deployment_goes_on(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    promotion = installation.approve(v2)
    refused: list[StellaError] = []

    async def both() -> DeploymentRecord:
        going_on = asyncio.create_task(installation.deployments.run(promotion.id, "run"))
        await asyncio.sleep(1.0)
        try:
            await installation.deployments.rollback(ALICE, "prod", None, "too early")
        except LeaseHeld as error:
            refused.append(error)
        return await going_on

    assert simulate(installation.clock, both()).state is DeploymentState.SUCCEEDED
    assert len(refused) == 1


def test_a_retry_that_died_is_in_the_way_of_others_and_goes_on(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    first = installation.deploy(v2)
    installation.world.fault = no_faults
    with pytest.raises(Killed):
        installation.reborn(die_at="after activate on host-2").retry(first.id)
    installation.clock.monotonic_s += LEASE_TTL_S
    survivor = installation.reborn()
    with pytest.raises(DeploymentUnfinished):
        survivor.deploy(survivor.release("3"))
    survivor.clock.monotonic_s += LEASE_TTL_S
    assert survivor.retry(first.id).state is DeploymentState.SUCCEEDED
    assert versions(installation) == {"2"}
    assert set(installation.world.creations.values()) == {1}


def test_a_target_that_remembers_a_higher_token_is_not_touched(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    installation.world.target("host-2").fence = 1000
    record = installation.deploy(v2)
    assert record.state is DeploymentState.REFUSED
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_FENCE_AHEAD"
    assert versions(installation) == {"1"}


def test_a_promotion_that_is_not_approved_deploys_nothing(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    promotion = installation.promotions.request(ALICE, environment="prod", release_digest=v2, reason="")
    with pytest.raises(DeploymentNotDue):
        installation.run(promotion.id)
    assert versions(installation) == {"1"}
