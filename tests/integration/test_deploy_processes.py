"""The command lines of deploy/compose.yaml as plain processes, in the environment that Compose gives them, on a real PostgreSQL with a password.

Folders and ports are moved aside, and the command `stella` is this checkout's; everything else is what stands in the file. What only containers have
(networks, limits, users) is in test_deploy_files.py.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.lab.lab import Lab
from tests.support.deploy_files import DEPLOY, ROOT, compose
from tests.support.postgres import PostgresCluster

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
READY_TIMEOUT_S = 120.0
PASSWORD = "p4ss word@%"
ORDER = ("worker", "code-server", "web", "daemon", "submitter")
"""In which Compose starts them."""
HOME, SOCKETS, SECRET, INSTALLED = "/var/lib/stella", "/run/stella", "/run/secrets/database_password", "/opt/stella/deploy"


@dataclass(frozen=True)
class Site:
    """Where the file's folders are in this test."""

    folder: Path
    url: str
    port: int

    def moved(self, text: str) -> str:
        """A word of compose.yaml, with what is inside a container outside of it."""
        places = {HOME: self.folder / "home", SOCKETS: self.folder / "run", SECRET: self.folder / "database_password", INSTALLED: DEPLOY}
        for inside, outside in places.items():
            text = text.replace(inside, str(outside))
        return text.replace("3000", str(self.port)).replace("//web:", "//127.0.0.1:").replace("0.0.0.0", "127.0.0.1")

    def environ(self, service: dict[str, Any]) -> dict[str, str]:
        given = {name: self.moved(value or "") for name, value in service["environment"].items()}
        (self.folder / "workspace.yaml").write_text(self.moved((DEPLOY / "workspace.yaml").read_text()))
        ours = {"STELLA_SOCKETS": str(self.folder / "run"), "STELLA_WORKSPACE": str(self.folder / "workspace.yaml"), "STELLA_PYTHON": sys.executable}
        ours["STELLA_WEB_PORT"] = str(self.port)
        path = f"{self.folder / 'bin'}:{DEPLOY}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), **given, **ours, "STELLA_DATABASE_URL": self.url}

    def command(self, service: dict[str, Any]) -> list[str]:
        """The image's entrypoint, and the service's command."""
        return ["sh", str(DEPLOY / "with-password.sh"), *(self.moved(word) for word in service["command"])]

    def run(self, service: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
        entrypoint = ["sh", str(DEPLOY / "with-password.sh")]
        return subprocess.run([*entrypoint, *words], env=self.environ(service), capture_output=True, text=True, timeout=READY_TIMEOUT_S, check=False)

    def is_healthy(self, service: dict[str, Any]) -> bool:
        kind, *words = service["healthcheck"]["test"]
        assert kind == "CMD"
        return self.run(service, *(self.moved(word) for word in words)).returncode == 0


def services(profile: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose("--profile", profile)["services"]
    return found


@pytest.fixture
def site(cluster: PostgresCluster, tmp_path: Path) -> Site:
    cluster.administer(f"CREATE ROLE stella LOGIN PASSWORD '{PASSWORD}'")
    cluster.administer("CREATE DATABASE stella OWNER stella")
    cluster.use_passwords_for("stella")
    for name in ("home", "run", "bin"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "database_password").write_text(PASSWORD)
    for name, words in (("stella", "-m stella_pipelines.cli"), ("python", ""), ("dagster-daemon", "-m dagster._daemon")):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return Site(tmp_path, f"postgresql://stella@/stella?host={cluster.folder}", port)


@contextmanager
def started(site: Site, service: dict[str, Any], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """The service's process; afterwards it was asked to stop and did so in the time that Compose gives it."""
    with (site.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(site.command(service), env=site.environ(service), cwd=site.folder / "home", stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(float(service["stop_grace_period"].removesuffix("s")))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def eventually(what: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not what():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def promoted(site: Site, service: dict[str, Any]) -> str:
    """What an operator types, in the service's environment, with folders in the place of hosts."""
    with Lab("embedded", site.folder / "lab") as lab:
        image = f"web={lab.images['v1']}"
        for words in (("apply", "-f", str(lab.estate_path)), ("release", "create", "shop", "1.0.0", image, "--commit", "5e1f0c3")):
            done = site.run(service, "stella", *words)
            assert done.returncode == 0, done.stdout + done.stderr
        done = site.run(service, "stella", "promote", "shop-1.0.0", "--to", "dev")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_without_the_password_nothing_is_migrated(site: Site) -> None:
    (site.folder / "database_password").write_text("another")
    migrate = services("one")["migrate"]
    done = site.run(migrate, *(site.moved(word) for word in migrate["command"]))
    assert done.returncode != 0
    assert "SYS_DATABASE_REFUSED" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_one_container_carries_a_promotion_out(site: Site) -> None:
    found = services("one")
    migrated = site.run(found["migrate"], *(site.moved(word) for word in found["migrate"]["command"]))
    assert "are those of this version" in migrated.stdout, migrated.stderr
    stella = {"healthcheck": {"test": image_healthcheck()}} | found["stella"]
    with started(site, stella, "stella") as process:
        eventually(lambda: site.is_healthy(stella), process, site.folder / "stella.log")
        assert "deployed" in promoted(site, stella)
    assert process.returncode == 0


def image_healthcheck() -> list[str]:
    """The one of the Dockerfile, for services that have none of their own."""
    (line,) = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line.startswith("HEALTHCHECK")]
    words: list[str] = json.loads(line.partition("CMD ")[2])
    return ["CMD", *words]


def test_five_containers_carry_a_promotion_out(site: Site) -> None:
    found = services("split")
    migrated = site.run(found["migrate"], *(site.moved(word) for word in found["migrate"]["command"]))
    assert migrated.returncode == 0, migrated.stderr
    with ExitStack() as running:
        for name in ORDER:
            service = {"healthcheck": {"test": image_healthcheck()}} | found[name]
            process = running.enter_context(started(site, service, name))
            if not service["healthcheck"].get("disable"):
                eventually(partial(site.is_healthy, service), process, site.folder / f"{name}.log")
        assert "deployed" in promoted(site, found["submitter"])
