"""The connector contract: one suite for every kind of target and every way to reach one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stella_pipelines.connectors.docker.connector import DockerConnector
from stella_pipelines.connectors.port import (
    ComponentSpec,
    DigestMismatch,
    Health,
    HealthcheckMissing,
    ImageUnavailable,
    KeptInstanceMissing,
    SecretUnavailable,
    StaleFence,
    StartFailed,
    TargetConnector,
)
from stella_pipelines.connectors.process.connector import ProcessConnector
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import HealthCheck
from stella_pipelines.lab.kernel import image_platform
from tests.support.connector_places import NOBODY, RELEASE, Place, deployment_id, docker_place, effect, process_place, sticker

pytest_plugins = ("tests.support.lab",)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCESS = {"docker_unix": "dev", "docker_tcp": "staging", "docker_ssh": "prod-1"}
Connector = DockerConnector | ProcessConnector


@pytest.fixture(params=[*(pytest.param(name, marks=pytest.mark.engines) for name in ACCESS), "process"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A clean target of each kind."""
    if request.param == "process":
        with process_place(tmp_path) as made:
            yield made
    else:
        yield docker_place(request.getfixturevalue("lab"), ACCESS[request.param])


def on(place: Place, work: Callable[[Connector], Awaitable[None]], environ: dict[str, str] | None = None) -> None:
    """Run `work` with an open connector."""

    async def run() -> None:
        async with place.connector(environ) as connector:
            await work(connector)

    asyncio.run(run())


async def becomes(connector: TargetConnector, component: ComponentSpec, wanted: Health) -> bool:
    """Whether the component's health is `wanted` within ten seconds."""
    for _ in range(100):
        if await connector.health(component, NOW) is wanted:
            return True
        await asyncio.sleep(0.1)
    return False


# ---------------------------------------------------------------- looking


def test_a_probe_names_the_platform(place: Place) -> None:
    async def work(connector: Connector) -> None:
        probe = await connector.probe()
        assert probe.platform == image_platform()
        assert probe.engine

    on(place, work)


def test_an_empty_target_runs_nothing(place: Place) -> None:
    async def work(connector: Connector) -> None:
        observed = await connector.observe(NOW)
        assert (observed.target, observed.observed_at, observed.components) == (place.target.name, NOW, ())
        assert (observed.sticker, observed.fence) == (None, 0)
        assert await connector.read_sticker() is None
        assert await connector.logs("web", 1000) == b""
        assert await connector.health(place.component("v1"), NOW) is Health.UNKNOWN

    on(place, work)


# ---------------------------------------------------------------- preparing


def test_preparing_brings_the_image_and_runs_nothing(place: Place) -> None:
    component = place.component("v2")

    async def work(connector: Connector) -> None:
        await connector.prepare(component, effect(1))
        await connector.prepare(component, effect(1))
        assert await connector.has_image(component.platform_digest, component.repository)
        assert not await connector.has_image(NOBODY, component.repository)
        assert (await connector.observe(NOW)).components == ()

    on(place, work)


def test_an_unknown_digest_is_unavailable(place: Place) -> None:
    async def work(connector: Connector) -> None:
        with pytest.raises(ImageUnavailable) as refused:
            await connector.prepare(place.component("v1", platform_digest=NOBODY), effect(1))
        assert refused.value.next_step

    on(place, work)


def test_an_image_with_another_config_than_the_release_says_is_refused(place: Place) -> None:
    async def work(connector: Connector) -> None:
        with pytest.raises(DigestMismatch):
            await connector.prepare(place.component("v1", config_digest=NOBODY), effect(1))

    on(place, work)


# ---------------------------------------------------------------- activating


def test_an_activated_component_serves_and_says_what_it_is(place: Place) -> None:
    component = place.component("v1")

    async def work(connector: Connector) -> None:
        await place.run(connector, component, 7)
        assert await becomes(connector, component, Health.HEALTHY)
        observed = await connector.observe(NOW)
        running = observed.running("web")
        assert running is not None
        assert (running.platform_digest, running.config_digest) == (component.platform_digest, component.config_digest)
        assert (running.deployment_id, running.release_digest) == (deployment_id(7), RELEASE)
        assert (observed.fence, observed.sticker) == (7, Digest.of(sticker(7)))
        assert await connector.read_sticker() == sticker(7)

    on(place, work)
    assert place.page() == "v1"


def test_activating_twice_changes_nothing(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)
        before = await connector.observe(NOW)
        await place.run(connector, place.component("v1"), 1)
        assert await connector.observe(NOW) == before

    on(place, work)


def test_a_component_outlives_its_connector(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)

    on(place, work)
    assert place.page() == "v1"


def test_an_upgrade_keeps_the_earlier_instance_stopped(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)
        await place.run(connector, place.component("v2"), 2)
        observed = await connector.observe(NOW)
        assert [(one.deployment_id, one.running) for one in observed.components] == [(deployment_id(2), True), (deployment_id(1), False)]
        assert await connector.read_sticker() == sticker(2)

    on(place, work)
    assert place.page() == "v2"


def test_variables_and_secrets_reach_the_component(place: Place) -> None:
    component = place.component("v1", variables={"GREETING": "overruled"}, secrets={"GREETING": "env://A_SECRET"})

    async def work(connector: Connector) -> None:
        await place.run(connector, component, 1)

    on(place, work, {"A_SECRET": "hello there"})
    assert place.page("/greeting") == "hello there"


def test_a_missing_secret_touches_nothing(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)
        with pytest.raises(SecretUnavailable, match="NOT_THERE"):
            await place.run(connector, place.component("v2", secrets={"GREETING": "env://NOT_THERE"}), 2)

    on(place, work)
    assert place.page() == "v1"


# ---------------------------------------------------------------- failing


@pytest.mark.parametrize("version", ["exits", "missing"])
def test_a_component_that_cannot_run_has_not_started(place: Place, version: str) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)
        with pytest.raises(StartFailed):
            await place.run(connector, place.component(version), 2)
        if version == "exits":
            assert b"this is exits" in await connector.logs("web", 10_000)
            assert await connector.health(place.component(version), NOW) is Health.UNHEALTHY
        await connector.restore("web", deployment_id(1), effect(2))

    on(place, work)
    assert place.page() == "v1"


def test_a_port_in_use_has_not_started_and_starts_when_it_is_free(place: Place) -> None:
    async def work(connector: Connector) -> None:
        with socket.create_server((place.target.address, place.port)), pytest.raises(StartFailed):
            await place.run(connector, place.component("v1"), 1)
        await place.run(connector, place.component("v1"), 1)

    on(place, work)
    assert place.page() == "v1"


def test_a_component_that_died_is_unhealthy(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)
        place.kill()
        assert await becomes(connector, place.component("v1"), Health.UNHEALTHY)
        assert (await connector.observe(NOW)).running("web") is None

    on(place, work)


# ---------------------------------------------------------------- health


@pytest.mark.parametrize(("version", "wanted"), [("v1", Health.HEALTHY), ("sick", Health.UNHEALTHY)])
def test_the_images_own_check_decides(place: Place, version: str, wanted: Health) -> None:
    component = place.component(version, health=HealthCheck(kind="container"))

    async def work(connector: Connector) -> None:
        await place.run(connector, component, 1)
        assert await becomes(connector, component, wanted)

    on(place, work)


def test_an_image_without_a_check_cannot_be_asked_for_one(place: Place) -> None:
    component = place.component("bare", health=HealthCheck(kind="container"))

    async def work(connector: Connector) -> None:
        await place.run(connector, component, 1)
        with pytest.raises(HealthcheckMissing):
            await connector.health(component, NOW)

    on(place, work)


def test_health_is_asked_from_outside(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("sick"), 1)
        assert await becomes(connector, place.component("sick"), Health.UNHEALTHY)
        assert await becomes(connector, place.component("sick", health=HealthCheck(kind="tcp", port=place.port)), Health.HEALTHY)
        elsewhere = HealthCheck(kind="http", port=1)
        assert await connector.health(place.component("sick", health=elsewhere), NOW) is Health.STARTING

    on(place, work)


# ---------------------------------------------------------------- the way back


def test_restoring_brings_the_earlier_instance_back(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)
        before = (await connector.observe(NOW)).running("web")
        await place.run(connector, place.component("v2"), 2)
        for _ in range(2):
            await connector.restore("web", deployment_id(1), effect(2))
        restored = (await connector.observe(NOW)).running("web")
        assert before is not None
        assert restored is not None
        assert (restored.runtime_id, restored.platform_digest) == (before.runtime_id, before.platform_digest)
        assert await connector.read_sticker() == sticker(1)

    on(place, work)
    assert place.page() == "v1"


def test_a_restored_target_can_be_deployed_again(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)
        await place.run(connector, place.component("v2"), 2)
        await connector.restore("web", deployment_id(1), effect(2))
        await place.run(connector, place.component("v2"), 2)

    on(place, work)
    assert place.page() == "v2"


def test_restoring_to_nothing_removes_the_component(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1)
        for _ in range(2):
            await connector.restore("web", None, effect(1))
        assert (await connector.observe(NOW)).components == ()

    on(place, work)


def test_restoring_what_is_gone_stops_nothing(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v2"), 2)
        with pytest.raises(KeptInstanceMissing):
            await connector.restore("web", deployment_id(1), effect(2))

    on(place, work)
    assert place.page() == "v2"


def test_retiring_removes_what_is_neither_running_nor_kept(place: Place) -> None:
    async def work(connector: Connector) -> None:
        for number, version in enumerate(("v1", "v2", "v1"), start=1):
            await place.run(connector, place.component(version), number)
        for _ in range(2):
            await connector.retire("web", (deployment_id(2),), effect(3))
        observed = await connector.observe(NOW)
        assert [one.deployment_id for one in observed.components] == [deployment_id(3), deployment_id(2)]

    on(place, work)


def test_a_holder_that_lost_its_lease_changes_nothing(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1, fence=4)
        await place.run(connector, place.component("v2"), 2, fence=5)
        before = await connector.observe(NOW)
        for stale in (
            place.run(connector, place.component("v1"), 3, fence=4),
            connector.restore("web", deployment_id(1), effect(2, fence=4)),
            connector.retire("web", (), effect(2, fence=4)),
        ):
            with pytest.raises(StaleFence):
                await stale
        assert await connector.observe(NOW) == before

    on(place, work)


def test_a_fence_that_only_stopped_and_removed_is_remembered(place: Place) -> None:
    """The successor takes the deployment back; the one that was paused in the middle of it wakes up and must not start it again."""

    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1, fence=4)
        await place.run(connector, place.component("v2"), 2, fence=5)
        await connector.restore("web", deployment_id(1), effect(2, fence=7))
        await connector.retire("web", (deployment_id(1),), effect(2, fence=7))
        before = await connector.observe(NOW)
        assert before.fence == 7
        for late in (place.run(connector, place.component("v2"), 2, fence=5), connector.restore("web", None, effect(1, fence=6))):
            with pytest.raises(StaleFence):
                await late
        assert await connector.observe(NOW) == before

    on(place, work)


def test_a_fence_is_remembered_by_a_target_that_runs_nothing_any_more(place: Place) -> None:
    async def work(connector: Connector) -> None:
        await place.run(connector, place.component("v1"), 1, fence=4)
        await connector.restore("web", None, effect(1, fence=9))
        assert (await connector.observe(NOW)).fence == 9
        with pytest.raises(StaleFence):
            await place.run(connector, place.component("v1"), 1, fence=8)
        assert (await connector.observe(NOW)).components == ()

    on(place, work)
