"""What environments were seen to run: drift, soaks, looks that were overtaken, and what is in use."""

from __future__ import annotations

import asyncio

import pytest

from stella_pipelines.connectors.port import TargetRefused
from stella_pipelines.deployments.history import StoredHistory, in_use, still_running
from stella_pipelines.deployments.limits import LOOK_AGAIN_S
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import AllAtOnce, Rolling
from stella_pipelines.store.database import Store
from tests.simulation.faults import Killed, always
from tests.simulation.installation import image
from tests.simulation.timeline import simulate
from tests.support.two_releases import two_releases


def test_drift_shows_in_the_next_look_and_history_follows(store: Store) -> None:
    installation, v1, _ = two_releases(store, 2, AllAtOnce())
    history = StoredHistory(installation.clock)
    with store.reading() as tx:
        proven = history.last_proven(tx, "prod", v1)
    assert proven is not None
    assert proven.healthy
    since = proven.healthy_since
    installation.clock.monotonic_s += 100
    simulate(installation.clock, installation.deployments.observe("prod"))
    with store.reading() as tx:
        later = history.last_proven(tx, "prod", v1)
    assert later is not None
    assert later.healthy_since == since
    assert later.observed_at > proven.observed_at
    installation.world.target("host-2").instances.clear()
    seen = simulate(installation.clock, installation.deployments.observe("prod"))
    assert [target.as_released for target in seen.targets] == [True, False]
    with store.reading() as tx:
        drifted = history.last_proven(tx, "prod", v1)
    assert drifted is not None
    assert not drifted.healthy
    assert drifted.healthy_since is None


def test_a_failed_rollout_that_went_back_begins_the_soak_again(store: Store) -> None:
    installation, v1, v2 = two_releases(store, 2, AllAtOnce())
    installation.clock.monotonic_s += 600
    before = simulate(installation.clock, installation.deployments.observe("prod"))
    installation.world.unhealthy.add(image("web", "2").digest)
    record = installation.deploy(v2)
    assert record.state is DeploymentState.ROLLED_BACK
    with store.reading() as tx:
        proven = StoredHistory(installation.clock).last_proven(tx, "prod", v1)
    assert proven is not None
    assert proven.healthy
    assert before.healthy_since is not None
    assert proven.healthy_since is not None
    assert proven.healthy_since > before.observed_at


def test_a_look_that_was_overtaken_by_a_deployment_is_not_remembered(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    promotion = installation.approve(v2)
    installation.world.look_s = 30.0

    async def both() -> None:
        looking = asyncio.create_task(installation.deployments.observe("prod"))
        await asyncio.sleep(0.1)
        installation.world.look_s = 0.01
        await installation.deployments.run(promotion.id, "run/1")
        await looking

    simulate(installation.clock, both())
    kept = installation.deployments.last_observation("prod")
    assert kept is not None
    assert kept.release_digest == v2
    assert kept.healthy


def test_environments_are_looked_at_again_the_longest_unseen_first(store: Store) -> None:
    installation, _, _ = two_releases(store, 1, AllAtOnce())
    assert installation.deployments.due_for_look() == []
    installation.clock.monotonic_s += LOOK_AGAIN_S
    assert installation.deployments.due_for_look() == ["prod"]
    simulate(installation.clock, installation.deployments.observe("prod"))
    assert installation.deployments.due_for_look() == []


def test_what_has_not_ended_is_in_use(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1))
    promotion = installation.approve(v2)
    with pytest.raises(Killed):
        installation.reborn(die_at="after activate on host-2").run(promotion.id)
    with store.reading() as tx:
        assert set(in_use(tx)) == {"environment/prod", "target/host-1", "target/host-2"}
    installation.reborn().run(promotion.id)
    with store.reading() as tx:
        assert in_use(tx) == {}


def test_a_target_that_went_back_still_runs_what_was_proven_there_before(store: Store) -> None:
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1, failure_budget=1))
    (first,) = installation.deployments.list("prod")
    with store.reading() as tx:
        assert {target: first.id in said for target, said in still_running(tx, "prod").items()} == {"host-1": True, "host-2": True, "host-3": True}
        assert still_running(tx, "dev") == {}
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    second = installation.deploy(v2)
    with store.reading() as tx:
        said = still_running(tx, "prod")
    assert {target: second.id in sentence for target, sentence in said.items()} == {"host-1": True, "host-2": False, "host-3": True}
    assert first.id in said["host-2"]
