"""Deployments onto real Docker Engines: over the socket, mutual TLS and SSH, out of a real registry; with kills, and with each thing that can be away."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.settings import Settings
from stella_pipelines.deployments.errors import PlanIncomplete
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.environments.model import Estate
from stella_pipelines.lab.hosts import LabHost
from stella_pipelines.lab.lab import Lab
from stella_pipelines.promotions.promotion import PromotionState
from tests.support.carrying_out import carry_out, evaluate
from tests.support.deploying_process import is_dead

pytest_plugins = ("tests.support.lab",)
pytestmark = pytest.mark.engines

ACTOR = Actor(name="alice", via="test")
KILL_AFTER_EVENTS = (2, 1, 3, 1, 2, 4)


@dataclass(frozen=True)
class Installation:
    """A control plane over the lab, in which every gate is open: gates have tests of their own."""

    lab: Lab
    plane: ControlPlane

    def release(self, image: str) -> Digest:
        reference = {"web": self.lab.images[image]}
        record = self.plane.releases.create(ACTOR, name="shop", version=image, images=reference, registries=self.plane.registry, finalize=True)
        assert record.digest is not None
        return record.digest

    def promote(self, image: str, environment: str) -> str:
        return self.plane.promotions.request(ACTOR, environment=environment, release_digest=self.release(image), reason="test").id

    def hosts(self, environment: str) -> list[LabHost]:
        return [host for host in self.lab.hosts.values() if host.environment == environment]


def ungated(estate: Estate) -> Estate:
    """The lab's estate with every gate open, and so without freeze windows that would close nothing."""
    environments = tuple(environment.model_copy(update={"gates": "none"}) for environment in estate.environments)
    return estate.model_copy(update={"environments": environments, "freeze_windows": ()})


@pytest.fixture
def installation(clean_lab: Lab, tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'stella.db'}")
    with open_control_plane(settings) as plane:
        plane.environments.apply(ACTOR, ungated(parse_estate(clean_lab.estate_path.read_text(), "estate.yaml")), source_digest=Digest.of(b"lab"))
        yield Installation(clean_lab, plane)


def containers(host: LabHost) -> dict[str, str]:
    """Name of each container on a host, and its state."""
    client = docker.DockerClient(base_url=f"unix://{host.docker_socket}")
    try:
        return {container.name: container.status for container in client.containers.list(all=True)}
    finally:
        client.close()


def events(host: LabHost, since: float) -> Counter[str]:
    """What the engine itself says that it did to containers."""
    client = docker.DockerClient(base_url=f"unix://{host.docker_socket}")
    try:
        found = client.events(since=since, until=time.time() + 1, decode=True, filters={"type": "container", "event": ["create", "start", "die"]})
        return Counter(event["Action"] for event in found)
    finally:
        client.close()


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_what_runs_is_what_was_released_over_every_transport(installation: Installation, environment: str) -> None:
    promotion = carry_out(installation.plane, installation.promote("v1", environment))
    assert promotion.state is PromotionState.DEPLOYED
    seen = asyncio.run(installation.plane.deployments.observe(environment))
    assert seen.healthy
    digests = {target.target: found.platform_digest for target in seen.targets if (found := target.observation and target.observation.running("web"))}
    assert digests == {host.name: installation.lab.platform_image("v1").digest for host in installation.hosts(environment)}


def test_a_version_that_never_becomes_healthy_gives_way_to_the_one_before(installation: Installation) -> None:
    carry_out(installation.plane, installation.promote("v1", "staging"))
    (host,) = installation.hosts("staging")
    before = {name for name, state in containers(host).items() if state == "running"}
    promotion = carry_out(installation.plane, installation.promote("v3", "staging"))
    assert promotion.state is PromotionState.ROLLED_BACK
    assert {name for name, state in containers(host).items() if state == "running"} == before


@pytest.mark.slow
def test_a_killed_rollout_over_ssh_is_resumed_and_no_container_is_made_twice(installation: Installation) -> None:
    carry_out(installation.plane, installation.promote("v1", "prod"))
    promotion_id = installation.promote("v2", "prod")
    evaluate(installation.plane, promotion_id)
    since = time.time()
    command = [sys.executable, "-m", "tests.support.deploying_process", str(installation.plane.settings.home), promotion_id]
    # A killed process cannot remove the folders of its SSH sockets, so it gets a folder for them that we remove. Short: a socket's path has 100 characters.
    with tempfile.TemporaryDirectory(prefix="stella-killed-", dir="/tmp") as temporary:
        environ = {**os.environ, "TMPDIR": temporary}
        for count in KILL_AFTER_EVENTS:
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], env=environ) as process:
                assert process.stdout is not None
                for _ in range(count):
                    process.stdout.readline()
                process.kill()
    record = asyncio.run(installation.plane.deployments.run(promotion_id, "the last one", gone=is_dead))
    assert record.state is DeploymentState.SUCCEEDED
    for host in installation.hosts("prod"):
        assert events(host, since) == {"create": 1, "start": 1, "die": 1}


def test_a_target_that_is_away_stops_the_plan(installation: Installation) -> None:
    engine = installation.lab.rig.engines["staging"] if installation.lab.rig else None
    assert engine is not None
    release = installation.release("v1")
    engine.stop()
    try:
        with pytest.raises(PlanIncomplete) as refused:
            asyncio.run(installation.plane.deployments.plan("staging", release))
    finally:
        engine.start()
        engine.wait()
    assert "staging" in refused.value.what
    assert asyncio.run(installation.plane.deployments.plan("staging", release)).targets[0].components[0].action == "start"


def test_a_host_with_another_key_is_not_spoken_to(installation: Installation) -> None:
    assert installation.lab.rig is not None
    release = installation.release("v1")
    with installation.lab.rig.ssh_servers["prod-2"].impostor(), pytest.raises(PlanIncomplete) as refused:
        asyncio.run(installation.plane.deployments.plan("prod", release))
    assert "DEPLOY_TARGET_IDENTITY_CHANGED" in str(refused.value)


def test_a_registry_that_is_away_fails_the_preflight_and_no_target_is_touched(installation: Installation) -> None:
    assert installation.lab.rig is not None
    carry_out(installation.plane, installation.promote("v1", "prod"))
    for host in installation.hosts("prod"):
        subprocess.run(["docker", "--host", f"unix://{host.docker_socket}", "image", "prune", "--all", "--force"], check=True, capture_output=True)
    before = {host.name: containers(host) for host in installation.hosts("prod")}
    promotion_id = installation.promote("v2", "prod")
    evaluate(installation.plane, promotion_id)
    installation.lab.rig.registry.stop()
    try:
        record = asyncio.run(installation.plane.deployments.run(promotion_id, "test"))
    finally:
        installation.lab.rig.registry.start()
        installation.lab.rig.registry.wait()
    assert record.state is DeploymentState.REFUSED
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_IMAGE_UNAVAILABLE"
    assert {host.name: containers(host) for host in installation.hosts("prod")} == before
