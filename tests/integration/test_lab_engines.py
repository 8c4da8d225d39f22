"""The engines lab: four hosts that are really four, reached in three ways, serving what was published."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import httpx
import pytest
from docker.tls import TLSConfig

from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.integrations.registries.resolve import resolve_image
from stella_pipelines.lab.engines import answers
from stella_pipelines.lab.hosts import LabHost
from stella_pipelines.lab.lab import Lab
from stella_pipelines.lab.ports import listens
from stella_pipelines.lab.programs import program
from stella_pipelines.lab.webapp.pages import NEEDED_SETTING

pytest_plugins = ("tests.support.lab",)
pytestmark = pytest.mark.engines


@contextmanager
def engine_of(host: LabHost) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=f"unix://{host.docker_socket}")
    yield client
    client.close()


def run(lab: Lab, host: LabHost, version: str, settings: dict[str, str]) -> str:
    """Run a version by its platform digest until its health is known; returns what the health is."""
    reference = f"{lab.registry_host}/{lab.images[version].path}@{lab.platform_image(version).digest}"
    with engine_of(host) as client:
        client.images.pull(reference)
        container = client.containers.run(reference, detach=True, environment=settings, ports={"8080/tcp": (host.address, host.port)})
        deadline = time.monotonic() + 30
        container.reload()
        while container.health == "starting" and time.monotonic() < deadline:
            time.sleep(0.05)
            container.reload()
        assert container.attrs["Image"] == lab.platform_image(version).config_digest
        return str(container.health)


def test_every_host_is_an_engine_of_its_own(lab: Lab) -> None:
    infos = []
    for host in lab.hosts.values():
        with engine_of(host) as client:
            infos.append(client.info())
    assert len({info["ID"] for info in infos}) == len({info["DockerRootDir"] for info in infos}) == 4
    assert [info["Labels"] for info in infos] == [[f"stella.lab.host={name}"] for name in lab.hosts]
    assert {info["DockerRootDir"].startswith(f"{lab.folder}/") for info in infos} == {True}


def test_every_host_serves_its_own_version_on_one_port(clean_lab: Lab) -> None:
    versions = dict(zip(clean_lab.hosts, ("v1", "v2", "v1", "v2"), strict=True))
    for name, host in clean_lab.hosts.items():
        assert run(clean_lab, host, versions[name], {}) == "healthy"
    said = {name: httpx.get(f"{host.url}/version", trust_env=False).text.strip() for name, host in clean_lab.hosts.items()}
    assert said == versions
    assert len({host.port for host in clean_lab.hosts.values()}) == 1


@pytest.mark.parametrize(("settings", "health"), [({}, "unhealthy"), ({NEEDED_SETTING: "http://catalogue.example"}, "healthy")])
def test_v3_is_only_healthy_with_its_setting(clean_lab: Lab, settings: dict[str, str], health: str) -> None:
    assert run(clean_lab, clean_lab.hosts["dev"], "v3", settings) == health


def test_a_container_stops_at_once(clean_lab: Lab) -> None:
    run(clean_lab, clean_lab.hosts["dev"], "v1", {})
    with engine_of(clean_lab.hosts["dev"]) as client:
        (container,) = client.containers.list()
        started = time.monotonic()
        container.stop(timeout=10)
        container.reload()
    assert time.monotonic() - started < 5
    assert container.attrs["State"]["ExitCode"] == 0


def test_a_tag_resolves_to_the_published_digests(lab: Lab) -> None:
    resolved = resolve_image(lab.registry(), lab.images["v1"])
    assert resolved.digest == lab.published["v1"].digest
    assert lab.platform_image("v1").digest in [image.digest for image in resolved.platforms]


def test_the_estate_declares_what_stands(lab: Lab) -> None:
    estate = parse_estate(lab.estate_path.read_text(), str(lab.estate_path))
    assert {target.name: target.address for target in estate.targets} == {name: host.address for name, host in lab.hosts.items()}
    assert [environment.name for environment in estate.environments] == ["dev", "staging", "prod"]


def test_staging_speaks_only_to_a_client_with_our_certificate(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)  # where set, it silently replaces our CA
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    host = lab.hosts["staging"]
    assert host.tls is not None
    assert host.docker_endpoint is not None
    url = host.docker_endpoint.replace("tcp://", "https://")
    tls = TLSConfig(client_cert=(str(host.tls.certificate_file), str(host.tls.key_file)), ca_cert=str(host.tls.ca_file), verify=True)
    ours = docker.APIClient(base_url=url, tls=tls)
    assert ours.info()["Labels"] == ["stella.lab.host=staging"]
    ours.close()
    with httpx.Client(verify=False, trust_env=False) as stranger, pytest.raises(httpx.TransportError):
        stranger.get(f"{url}/_ping")


@pytest.mark.parametrize("name", ["prod-1", "prod-2"])
def test_prod_is_reached_over_ssh_under_its_pinned_key(lab: Lab, tmp_path: Path, name: str) -> None:
    assert login(lab.hosts[name], tmp_path, "echo $DOCKER_HOST") == (0, f"unix://{lab.hosts[name].docker_socket}")


def test_an_impostor_is_refused_and_the_real_host_is_welcome_again(lab: Lab, tmp_path: Path) -> None:
    assert lab.rig is not None
    server, host = lab.rig.ssh_servers["prod-2"], lab.hosts["prod-2"]
    with server.impostor():
        assert host.ssh is not None
        assert server.host_key != host.ssh.host_key
        assert login(host, tmp_path, "true")[0] == 255
    assert login(host, tmp_path, "true")[0] == 0


def test_an_engine_that_lost_power_comes_back_with_its_images(clean_lab: Lab) -> None:
    assert clean_lab.rig is not None
    engine, host = clean_lab.rig.engines["dev"], clean_lab.hosts["dev"]
    run(clean_lab, host, "v1", {})
    engine.stop()
    assert not answers(engine.settings.socket)
    engine.start()
    engine.wait()
    with engine_of(host) as client:
        assert clean_lab.platform_image("v1").config_digest in [image.id for image in client.images.list()]


def test_the_registry_comes_back_with_its_content(lab: Lab) -> None:
    assert lab.rig is not None
    address, port = lab.registry_host.split(":")
    lab.rig.registry.stop()
    assert not listens(address, int(port))
    lab.rig.registry.start()
    lab.rig.registry.wait()
    assert lab.registry().tags("shop/web") == ["v1", "v2", "v3"]


def login(host: LabHost, folder: Path, command: str) -> tuple[int, str]:
    """Run a command with the machine's own SSH client, which knows the pinned key only."""
    assert host.ssh is not None
    known = folder / "known_hosts"
    known.write_text(f"[{host.address}]:{host.ssh.port} {host.ssh.host_key}\n")
    options = ["-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
    words = [program("ssh"), *options, "-i", str(host.ssh.private_key), "-p", str(host.ssh.port), f"root@{host.address}", command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout.strip()
