"""A control plane that dies between any two engine requests of an activation or a restore: the same call ends it, with no effect done twice.

The death is an exception that nothing catches, before or right after the n-th changing request; what counts is the engine's own event log.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from stella_pipelines.connectors.docker.connector import DockerConnector
from stella_pipelines.connectors.docker.engine import Engine
from stella_pipelines.connectors.port import StaleFence
from stella_pipelines.lab.lab import Lab
from tests.support.connector_places import Place, deployment_id, docker_place, effect, engine_of, eventually, sticker

pytest_plugins = ("tests.support.lab",)
pytestmark = pytest.mark.engines
HOST: Final = "dev"
CHANGES: Final = ("put_fence", "remove_fence", "create", "put_sticker", "set_restart_policy", "stop", "start", "remove")


class Killed(BaseException):
    """The control plane is dead from here on."""


class DyingEngine:
    """Passes every request on, and dies at the `at`-th changing one: before it reaches the engine, or after it was carried out."""

    def __init__(self, engine: Engine, at: int, *, after: bool) -> None:
        self._engine, self._left, self._after = engine, at, after

    def __getattr__(self, name: str) -> Any:
        request = getattr(self._engine, name)
        return self._dying(request) if name in CHANGES else request

    def _dying(self, request: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def sent(*arguments: object) -> object:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            answer = await request(*arguments)
            if self._left == 0:
                raise Killed
            return answer

        return sent


@pytest.fixture
def place(lab: Lab) -> Place:
    """A clean engine."""
    return docker_place(lab, HOST)


# An upgrade makes eight changing requests: new fence, old fence, create, sticker, old policy, old stop, start, new policy.
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 9))
def test_an_upgrade_that_died_anywhere_is_ended_by_the_same_call(lab: Lab, place: Place, at: int, after: bool) -> None:
    async def upgrade() -> None:
        await place.run(_connector(opened), place.component("v2"), 2)

    opened: list[DockerConnector] = []
    _with(place, opened, lambda: place.run(_connector(opened), place.component("v1"), 1))
    since = time.time()
    with pytest.raises(Killed):
        _with(place, opened, upgrade, at=at, after=after)
    _with(place, opened, upgrade)
    assert _events(lab, since) == {("2", "create"): 1, ("2", "start"): 1, ("1", "die"): 1}
    assert _states(lab) == {"1": ("exited", "no"), "2": ("running", "unless-stopped")}
    assert place.page() == "v2"


def test_an_upgrade_makes_no_further_request_than_those(lab: Lab, place: Place) -> None:
    opened: list[DockerConnector] = []
    _with(place, opened, lambda: place.run(_connector(opened), place.component("v1"), 1))
    _with(place, opened, lambda: place.run(_connector(opened), place.component("v2"), 2), at=9)
    assert place.page() == "v2"


# A restore makes five: failed policy, failed stop, kept start, kept policy; a retire one.
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 5))
def test_a_restore_that_died_anywhere_is_ended_by_the_same_call(lab: Lab, place: Place, at: int, after: bool) -> None:
    async def restore() -> None:
        await _connector(opened).restore("web", deployment_id(1), effect(2))

    opened: list[DockerConnector] = []
    for number in (1, 2):
        _with(place, opened, lambda number=number: place.run(_connector(opened), place.component(f"v{number}"), number))  # type: ignore[misc]
    since = time.time()
    with pytest.raises(Killed):
        _with(place, opened, restore, at=at, after=after)
    _with(place, opened, restore)
    assert _events(lab, since) == {("2", "die"): 1, ("1", "start"): 1}
    assert _states(lab) == {"1": ("running", "unless-stopped"), "2": ("exited", "no")}
    assert place.page() == "v1"


class OvertakenEngine:
    """Passes every request on. Before the `at`-th look at the fence, a successor with a higher token takes the target."""

    def __init__(self, engine: Engine, at: int, successor: Callable[[], Awaitable[None]]) -> None:
        self._engine, self._left, self._successor = engine, at, successor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def fences(self) -> dict[str, int]:
        self._left -= 1
        if self._left == 0:
            await self._successor()
        return await self._engine.fences()


# The fence is read when it is raised, and before each of the six changes of an upgrade.
@pytest.mark.parametrize("at", range(1, 8))
def test_a_holder_that_is_overtaken_in_the_middle_stops_before_its_next_request(lab: Lab, place: Place, at: int) -> None:
    async def upgrade() -> None:
        spec = place.component("v2")
        await _connector(opened).activate(place.spec(spec, 2), spec, sticker(2), effect(2))

    async def take_over() -> None:
        connector = place.connector()
        async with connector:
            await connector.restore("web", deployment_id(1), effect(2, fence=9))
        seen.append(_states(lab))

    async def overtaken() -> None:
        _connector(opened).engine = OvertakenEngine(_connector(opened).engine, at, take_over)  # type: ignore[assignment]
        with pytest.raises(StaleFence):
            await upgrade()

    opened: list[DockerConnector] = []
    seen: list[dict[str, tuple[str, str]]] = []
    _with(place, opened, lambda: place.run(_connector(opened), place.component("v1"), 1))
    _with(place, opened, lambda: _connector(opened).prepare(place.component("v2"), effect(2)))
    _with(place, opened, overtaken)
    assert seen == [_states(lab)]
    assert seen[0]["1"] == ("running", "unless-stopped")
    assert place.page() == "v1"


def test_the_sticker_is_there_before_the_component_starts(lab: Lab, place: Place) -> None:
    opened: list[DockerConnector] = []
    with pytest.raises(Killed):
        _with(place, opened, lambda: place.run(_connector(opened), place.component("v1"), 1), at=4)
    with engine_of(lab, HOST) as client:
        (container,) = client.containers(all=True)
        content = b"".join(client.get_archive(container["Id"], "/stella.version.json")[0])
    assert container["State"] == "created"
    assert sticker(1) in content


def test_an_engine_that_restarts_brings_up_the_new_version_only(lab: Lab, place: Place) -> None:
    opened: list[DockerConnector] = []
    for number in (1, 2):
        _with(place, opened, lambda number=number: place.run(_connector(opened), place.component(f"v{number}"), number))  # type: ignore[misc]
    _restart_engine(lab)
    assert place.page() == "v2"
    assert {number: state for number, (state, _) in _states(lab).items()} == {"1": "exited", "2": "running"}


def _connector(opened: list[DockerConnector]) -> DockerConnector:
    return opened[0]


def _with(place: Place, opened: list[DockerConnector], work: Callable[[], Awaitable[None]], at: int = 0, *, after: bool = False) -> None:
    """Run `work` with the only connector in `opened`; with `at`, the connector's engine requests die there."""

    async def run() -> None:
        connector = place.connector()
        assert isinstance(connector, DockerConnector)
        async with connector:
            if at:
                connector.engine = DyingEngine(connector.engine, at, after=after)  # type: ignore[assignment]
            opened[:] = [connector]
            await work()

    asyncio.run(run())


def _restart_engine(lab: Lab) -> None:
    """As `systemctl restart docker` does: containers are stopped, and those that shall run are started again."""
    assert lab.rig is not None
    engine, pid_file = lab.rig.engines[HOST], lab.hosts[HOST].folder / "docker.pid"
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    assert eventually(lambda: not pid_file.exists(), timeout_s=30)
    engine.stop()
    engine.start()
    engine.wait()


def _events(lab: Lab, since: float) -> dict[tuple[str, str], int]:
    """What the engine did since then: (deployment number, event) and how often."""
    with engine_of(lab, HOST) as client:
        found = client.events(since=since, until=time.time() + 1, decode=True, filters={"type": "container", "event": ["create", "start", "die"]})
        return dict(Counter((event["Actor"]["Attributes"]["stella.deployment"][-1], event["Action"]) for event in found))


def _states(lab: Lab) -> dict[str, tuple[str, str]]:
    """Each container's state and restart policy, by deployment number."""
    with engine_of(lab, HOST) as client:
        answers = [client.inspect_container(one["Id"]) for one in client.containers(all=True)]
    return {one["Config"]["Labels"]["stella.deployment"][-1]: (one["State"]["Status"], one["HostConfig"]["RestartPolicy"]["Name"]) for one in answers}
