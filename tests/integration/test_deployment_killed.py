"""A real process that deploys to real process targets is killed with SIGKILL again and again, and resumed: the work is done once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stella_pipelines.connectors.process.instances import Instances
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import ImageReference
from stella_pipelines.core.settings import Settings
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import Component, Environment, Estate, HealthCheck, Port, ProcessAccess, Registry, Rolling, Target
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.lab.ports import free_port
from tests.support.connector_places import PATH, PORT_INSIDE, publish
from tests.support.deploying_process import is_dead

ACTOR = Actor(name="alice", via="test")
ADDRESSES = ("127.0.4.81", "127.0.4.82")
HOST = "registry.lab:5000"
KILL_AFTER_EVENTS = (1, 2, 3, 2, 4, 1, 2, 3, 5)
"""After how many events each process is killed; the last one lives on. Where exactly the kill falls is chance, as in life."""


@dataclass(frozen=True)
class Home:
    """An installation in a folder, with two process targets."""

    folder: Path
    plane: ControlPlane

    def instances(self, number: int) -> Instances:
        return Instances(self.folder / f"host-{number}", f"host-{number}")

    def release(self, version: str, image: str) -> Digest:
        reference = ImageReference.parse(f"{HOST}/{PATH}:{image}")
        record = self.plane.releases.create(ACTOR, name="shop", version=version, images={"web": reference}, registries=self.plane.registry, finalize=True)
        assert record.digest is not None
        return record.digest

    def approve(self, release: Digest) -> str:
        promotion = self.plane.promotions.request(ACTOR, environment="prod", release_digest=release, reason="test")
        plan = asyncio.run(self.plane.deployments.plan("prod", release))
        self.plane.promotions.decide(self.plane.promotions.begin_evaluation(promotion.id, 1, plan.document()).id)
        return promotion.id


def _estate(folder: Path) -> Estate:
    port = free_port(list(ADDRESSES), 8080)
    health = HealthCheck(kind="http", port=port, path="/health", timeout_s=20, interval_s=0.1)
    web = Component(name="web", repository=f"{HOST}/{PATH}", ports=(Port(container=PORT_INSIDE, host=port),), health=health, stop_timeout_s=3)
    return Estate(
        registries=(Registry(host=HOST, kind="layout", path=str(folder / "registry")),),
        components=(web,),
        environments=(Environment(name="prod", gates="none", strategy=Rolling(batch=1)),),
        targets=tuple(
            Target(
                name=f"host-{number}",
                environment="prod",
                kind="process",
                process=ProcessAccess(directory=str(folder / f"host-{number}")),
                address=address,
            )
            for number, address in enumerate(ADDRESSES, start=1)
        ),
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    publish(LayoutRegistry(tmp_path / "registry"), "process")
    with open_control_plane(Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'stella.db'}")) as plane:
        plane.environments.apply(ACTOR, _estate(tmp_path), source_digest=Digest.of(b"estate"))
        made = Home(tmp_path, plane)
        try:
            yield made
        finally:
            for number in (1, 2):
                for instance in made.instances(number).all():
                    instance.process.stop(0)


def _deploy_and_die(home: Home, promotion_id: str, events: int) -> bool:
    """Start a process and kill it after some events. False when it had finished before."""
    command = [sys.executable, "-m", "tests.support.deploying_process", str(home.folder), promotion_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(events)]
        process.kill()
    return all(lines)


@pytest.mark.slow
def test_a_killed_deployment_is_resumed_and_nothing_is_done_twice(home: Home) -> None:
    first = home.approve(home.release("1", "v1"))
    asyncio.run(home.plane.deployments.run(first, "test"))
    before = {number: home.instances(number).all()[0].process.pid() for number in (1, 2)}
    promotion_id = home.approve(home.release("2", "v2"))

    killed = sum(_deploy_and_die(home, promotion_id, events) for events in KILL_AFTER_EVENTS)
    record = asyncio.run(home.plane.deployments.run(promotion_id, "the last one", gone=is_dead))

    assert killed >= 4, "the processes were not killed while they were at work"
    assert record.state is DeploymentState.SUCCEEDED
    intents = [row for row in home.plane.deployments.journal(record.id) if row.phase == "intent"]
    assert len(intents) > len({(row.target, row.step) for row in intents}), "no step was ever taken up again"
    for number in (1, 2):
        found = home.instances(number).all()
        assert [instance.process.runs() for instance in found] == [True, False]
        assert found[0].record.deployment_id == record.id
        assert found[0].process.pid() != before[number]
    seen = asyncio.run(home.plane.deployments.observe("prod"))
    assert seen.healthy
    assert seen.release_digest == record.release_digest
