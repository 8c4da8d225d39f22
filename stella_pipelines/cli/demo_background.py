"""`stella up` as a child process, for as long as the demo or a benchmark needs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stella_pipelines.core.errors import StellaError

STOP_TIMEOUT_S: Final = 30.0
_ADDRESS = re.compile(r"https?://\S+")


class InstallationDidNotStart(StellaError):
    """`stella up` ended before it was ready."""

    code = "SYS_UP_FAILED"


@contextmanager
def background_installation(port: int) -> Iterator[str]:
    """Run `stella up` for the installation that the environment names; yields the address of its UI."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stella_pipelines.cli", "up", "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield _wait_for_address(process)
    finally:
        _stop(process)


def _wait_for_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        found = _ADDRESS.search(line)
        if "is up" in line and found:
            return found.group()
    raise InstallationDidNotStart(f"`stella up` ended: {''.join(said)[-2000:]}", next_step="Run `stella up` by itself and read what it says.")


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
