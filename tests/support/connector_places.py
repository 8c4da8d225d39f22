"""The places on which the connector contract runs, and the small images that it runs there.

One program in two builds (busybox for engines, Python for processes): it serves its version at `/`, `ok` at `/health` unless it is sick,
and the variable GREETING at `/greeting`. Some images have a fault on purpose.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import docker

from stella_pipelines.connectors.docker.connector import DockerConnector
from stella_pipelines.connectors.port import ComponentSpec, Effect, TargetSpec
from stella_pipelines.connectors.process.connector import ProcessConnector
from stella_pipelines.connectors.process.instances import Instances
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.environments.model import HealthCheck, Port, ProcessAccess, Target
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.port import RegistryPort
from stella_pipelines.lab.images import File, Image, Link, MultiArchImage, make_image, push
from stella_pipelines.lab.kernel import image_platform
from stella_pipelines.lab.lab import Lab
from stella_pipelines.lab.ports import free_port
from stella_pipelines.lab.programs import program
from stella_pipelines.lab.webapp.container import static_busybox

PATH: Final = "contract/web"
PORT_INSIDE: Final = 8080
RELEASE: Final = Digest.of(b"the release")
NOBODY: Final = Digest.of(b"no such content")
_SECOND_NS: Final = 1_000_000_000
_SHELL: Final = """\
#!/bin/sh
echo "this is {version}"
{fault}
printf '%s' "${{GREETING:-}}" > /www/greeting
trap 'kill "$server"; exit 0' TERM
httpd -f -p 8080 -h /www &
server=$!
wait "$server"
"""
_PYTHON: Final = """\
#!/usr/bin/env python3
import os, sys
print("this is {version}", flush=True)
{fault}
from http.server import BaseHTTPRequestHandler, HTTPServer
PAGES = {{"/": "{version}", "/greeting": os.environ.get("GREETING", ""), **({{}} if {is_sick} else {{"/health": "ok"}})}}
class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        body = PAGES.get(self.path, "").encode()
        self.send_response(200 if self.path in PAGES else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Web).serve_forever()
"""
_PYTHON_CHECK: Final = """\
#!/usr/bin/env python3
import os, urllib.request
urllib.request.urlopen(f"http://{os.environ['HOST']}:{os.environ['PORT']}/health", timeout=2).close()
"""
VERSIONS: Final = ("v1", "v2", "sick", "exits", "missing", "bare")


@dataclass(frozen=True)
class Place:
    """A target and what can be deployed on it."""

    target: Target
    host: str
    registry: RegistryPort
    port: int
    images: Mapping[str, MultiArchImage] = field(repr=False)
    kill: Callable[[], None]
    """End the running component behind the connector's back."""

    def connector(self, environ: Mapping[str, str] | None = None) -> DockerConnector | ProcessConnector:
        """A connector that is not open yet."""
        if self.target.kind == "docker":
            return DockerConnector(self.target, environ or {})
        return ProcessConnector(self.target, lambda host: self.registry, environ or {})

    def image(self, version: str) -> Image:
        """The image of a version for this machine."""
        return self.images[version].image(image_platform())

    def component(self, version: str, **changes: Any) -> ComponentSpec:
        """The component `web` at a version."""
        image = self.image(version)
        spec = ComponentSpec(
            name="web",
            repository=f"{self.host}/{PATH}",
            index_digest=self.images[version].digest,
            platform_digest=image.digest,
            config_digest=image.config_digest,
            ports=(Port(container=PORT_INSIDE, host=self.port),),
            health=HealthCheck(kind="http", port=self.port, path="/health"),
            stop_timeout_s=3,
        )
        return spec.model_copy(update=changes)

    def spec(self, component: ComponentSpec, number: int) -> TargetSpec:
        """The target's order in deployment `number`."""
        return TargetSpec(
            deployment_id=deployment_id(number),
            environment=self.target.environment,
            target=self.target.name,
            release=f"shop-{number}",
            release_digest=RELEASE,
            components=(component,),
        )

    async def run(self, connector: DockerConnector | ProcessConnector, component: ComponentSpec, number: int, fence: int | None = None) -> None:
        """Prepare and activate in deployment `number`, whose sticker is `sticker(number)`."""
        done = effect(number, fence)
        await connector.prepare(component, done)
        await connector.activate(self.spec(component, number), component, sticker(number), done)

    def page(self, path: str = "/") -> str | None:
        """What the component serves, as its users see it; None when nothing answers within two seconds."""
        url, deadline = f"http://{self.target.address}:{self.port}{path}", time.monotonic() + 2
        while True:
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    return str(answer.read().decode())
            except urllib.error.HTTPError as error:
                return str(error.code)
            except OSError:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.02)


def deployment_id(number: int) -> str:
    """The id of deployment `number`; later ones sort later."""
    return f"dep_01jdz0000000000000{number:08d}"


def effect(number: int, fence: int | None = None) -> Effect:
    """The authority of deployment `number`: its fence is its number, unless told otherwise."""
    return Effect(deployment_id=deployment_id(number), key=f"step/{number}", fence=number if fence is None else fence)


def sticker(number: int) -> bytes:
    """The sticker of deployment `number`."""
    return json.dumps({"deployment": deployment_id(number)}).encode()


@contextmanager
def process_place(folder: Path) -> Iterator[Place]:
    """A process target below `folder`, with a layout registry beside it."""
    registry = LayoutRegistry(folder / "registry")
    directory, address = folder / "host-1", _own_address(os.getpid())
    target = Target(name="host-1", environment="dev", kind="process", process=ProcessAccess(directory=str(directory)), address=address)
    instances = Instances(directory, target.name)
    images = publish(registry, "process")
    try:
        yield Place(target, "registry.lab", registry, free_port([address], 8080), images, lambda: _kill_process(instances))
    finally:
        for instance in instances.all():
            instance.process.stop(0)


def _own_address(pid: int) -> str:
    """A loopback address that only this test process uses: test runs side by side would take each other's ports."""
    return f"127.{64 + (pid >> 16) % 64}.{(pid >> 8) % 256}.{1 + pid % 254}"


def docker_place(lab: Lab, name: str) -> Place:
    """One of the lab's engines, without any container or fence, reached as the lab's estate says."""
    target = next(target for target in parse_estate(lab.estate_path.read_text(), "estate.yaml").targets if target.name == name)
    with engine_of(lab, name) as client:
        for container in client.containers(all=True):
            client.remove_container(container["Id"], force=True, v=True)
        for volume in client.volumes()["Volumes"] or ():
            client.remove_volume(volume["Name"])
    return Place(target, lab.registry_host, lab.registry(), lab.hosts[name].port, _published(lab), lambda: _kill_container(lab, name))


@cache
def _published(lab: Lab) -> dict[str, MultiArchImage]:
    return publish(lab.registry(), "docker")


@contextmanager
def engine_of(lab: Lab, name: str) -> Iterator[docker.APIClient]:
    """An engine of the lab by its own door, without the product."""
    client = docker.APIClient(base_url=f"unix://{lab.hosts[name].docker_socket}", version="1.41")
    try:
        yield client
    finally:
        client.close()


def eventually(condition: Callable[[], bool], timeout_s: float = 5) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _kill_process(instances: Instances) -> None:
    running = next(one for one in instances.all() if one.process.runs())
    pid = running.process.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not running.process.runs())


def _kill_container(lab: Lab, name: str) -> None:
    with engine_of(lab, name) as client:
        client.kill(client.containers()[0]["Id"])


def publish(registry: RegistryPort, kind: str) -> dict[str, MultiArchImage]:
    """Push every test image for a kind of target."""
    images = built(kind)
    for version, image in images.items():
        push(registry, PATH, version, image)
    return images


@cache
def built(kind: str) -> dict[str, MultiArchImage]:
    """The test images; made once, since compressing takes most of the time."""
    make = _container_image if kind == "docker" else _script_image
    return {version: MultiArchImage((make(version),)) for version in VERSIONS}


def _container_image(version: str) -> Image:
    busybox = static_busybox(Path(program("busybox")))
    base = [File("bin/busybox", busybox, 0o755), *(Link(f"bin/{name}", "/bin/busybox") for name in ("sh", "httpd", "wget"))]
    script = _SHELL.format(version=version, fault="exit 3" if version == "exits" else "")
    site: list[File | Link] = [File("www/index.html", version.encode()), *([] if version == "sick" else [File("www/health", b"ok")])]
    check = ["CMD", "/bin/wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{PORT_INSIDE}/health"]
    return make_image(image_platform(), [base, [File("app/start", script.encode(), 0o755), *site]], _settings(version, check))


def _script_image(version: str) -> Image:
    script = _PYTHON.format(version=version, fault="sys.exit(3)" if version == "exits" else "", is_sick=version == "sick")
    files = [File("app/start.real", script.encode(), 0o755), Link("app/start", "/app/start.real"), File("app/check", _PYTHON_CHECK.encode(), 0o755)]
    return make_image(image_platform(), [files], _settings(version, ["CMD", "/app/check"]))


def _settings(version: str, check: list[str]) -> dict[str, object]:
    health = {"Test": check, "Interval": _SECOND_NS // 10, "Timeout": 2 * _SECOND_NS, "Retries": 2}
    start = {"Entrypoint": ["/app/nowhere" if version == "missing" else "/app/start"]}
    return {**start, "ExposedPorts": {f"{PORT_INSIDE}/tcp": {}}, **({} if version == "bare" else {"Healthcheck": health})}
