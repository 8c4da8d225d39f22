"""Real `docker-registry` processes on loopback for tests: plain, with htpasswd over TLS, and with bearer tokens.

Each is a child of the test process, gets a free port from the kernel, and is waited for when its block ends.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from stella_pipelines.core.secrets import Secret
from stella_pipelines.integrations.registries.authorization import Credentials
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.exchange import Pace
from tests.support.certificates import make_certificates
from tests.support.token_service import ISSUER, SERVICE, TokenService

USERNAME: Final = "robot"
PASSWORD: Final = "correct horse battery"
_BCRYPT: Final = "$2b$04$WTezIS/7WDxBYjH48/NG9u0RtPsfm14sOKgW2v3C1PKC4PcnJNZ5O"
_LISTENING: Final = re.compile(r"listening on (127\.0\.0\.1:\d+)")
_START_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True)
class RunningRegistry:
    """A registry process and what a client needs to speak to it."""

    host: str
    ca_file: Path | None = None
    username: str | None = None
    token_service: TokenService | None = None

    def client(self, *, password: str | None = PASSWORD, ca_file: Path | None = None, pace: Pace | None = None) -> DistributionRegistry:
        """The adapter under test, with the right settings unless told otherwise."""
        credentials = Credentials(self.username, Secret(password)) if self.username and password else None
        return DistributionRegistry(
            self.host,
            plain_http=self.ca_file is None,
            ca_file=ca_file or self.ca_file,
            credentials=credentials,
            pace=pace or Pace(timeout_s=10, attempts_max=1),
        )


def require_program(name: str, package: str) -> str:
    """The program's path. Missing, it fails the test in CI and skips it on a laptop, with the command that installs it."""
    found = shutil.which(name)
    if found is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"{name} is missing; install it with: apt-get install -y {package}")
    return str(found)


@contextmanager
def plain_registry(folder: Path) -> Iterator[RunningRegistry]:
    """Plain HTTP, nobody is asked who he is."""
    with _process(folder, {}, {}) as host:
        yield RunningRegistry(host)


@contextmanager
def password_registry(folder: Path) -> Iterator[RunningRegistry]:
    """HTTPS with a private CA, and a user name and password."""
    certificates = make_certificates(folder)
    (folder / "htpasswd").write_text(f"{USERNAME}:{_BCRYPT}\n")
    http = {"tls": {"certificate": str(certificates.certificate), "key": str(certificates.key)}}
    with _process(folder, http, {"htpasswd": {"realm": "stella-test", "path": str(folder / "htpasswd")}}) as host:
        yield RunningRegistry(host, ca_file=certificates.ca, username=USERNAME)


@contextmanager
def token_registry(folder: Path) -> Iterator[RunningRegistry]:
    """Plain HTTP, and a token service that gives tokens for a user name and password."""
    certificates = make_certificates(folder)
    with ExitStack() as stack:
        service = stack.enter_context(TokenService(certificates, USERNAME, PASSWORD))
        auth = {"token": {"realm": service.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(certificates.ca)}}
        host = stack.enter_context(_process(folder, {}, auth))
        yield RunningRegistry(host, username=USERNAME, token_service=service)


@contextmanager
def _process(folder: Path, http: dict[str, Any], auth: dict[str, Any]) -> Iterator[str]:
    program = require_program("docker-registry", "docker-registry")
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "maintenance": {"uploadpurging": {"enabled": False}}},
        "http": {"addr": "127.0.0.1:0", "secret": "only-for-this-test", **http},
    }
    (folder / "registry.yml").write_text(yaml.safe_dump(settings | ({"auth": auth} if auth else {})))
    environ = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen([program, "serve", str(folder / "registry.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environ)
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read_lines, args=(process, lines), daemon=True)
    reader.start()
    try:
        yield _address(lines)
    finally:
        process.terminate()
        process.wait(timeout=10)
        reader.join(timeout=10)
        assert process.stderr is not None
        process.stderr.close()


def _read_lines(process: subprocess.Popen[bytes], lines: queue.Queue[str]) -> None:
    """Keep the pipe empty for as long as the registry lives, or it would stop at a full one."""
    assert process.stderr is not None
    for line in process.stderr:
        lines.put(line.decode(errors="replace"))
    lines.put("")


def _address(lines: queue.Queue[str]) -> str:
    said: list[str] = []
    while line := lines.get(timeout=_START_TIMEOUT_S):
        said.append(line)
        if match := _LISTENING.search(line):
            return match.group(1)
    raise AssertionError("docker-registry did not start:\n" + "".join(said))
