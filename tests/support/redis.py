"""A real Redis server of the tests' own, reached over a unix socket only, gone when the tests are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

INSTALL = "apt-get install -y --no-install-recommends redis-server"
START_TIMEOUT_S = 10.0


@contextmanager
def redis_server() -> Iterator[str]:
    """The server's address as Celery takes it. Without the program: a failure in CI, a skip that says what to install elsewhere."""
    program = shutil.which("redis-server")
    if program is None:
        message = f"Redis is not installed: {INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="stella-redis-") as folder:
        socket = Path(folder) / "redis.sock"
        settings = ["--port", "0", "--unixsocket", str(socket), "--dir", folder, "--save", "", "--appendonly", "no"]
        # The death signal ends the server even when the tests are killed.
        server = subprocess.Popen(["setpriv", "--pdeathsig=TERM", program, *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(server, socket)
            yield f"redis+socket://{socket}?virtual_host=0"
        finally:
            server.terminate()
            server.wait(START_TIMEOUT_S)


def _wait(server: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not socket.exists():
        assert server.poll() is None, f"redis-server ended with {server.returncode}"
        assert time.monotonic() < deadline, "redis-server did not start"
        time.sleep(0.05)
