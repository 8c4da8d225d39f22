"""The real cosign, cut off from every network: what it says of a bundle."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL = "scripts/bootstrap.sh test (it takes the package 'cosign' 2.5 of Debian trixie, checked by its digest)"
_NOWHERE = "http://127.0.0.1:9"
TIMEOUT_S = 60.0


def cosign_or_skip() -> str:
    """The program. Without it: a failure in CI, a skip that says what to install elsewhere."""
    program = shutil.which("cosign")
    if program is None:
        message = f"cosign is not installed: {INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return program


def run_offline(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line of cosign in a folder, in a network namespace of its own where that is allowed, and behind a proxy that is not there.

    An empty home: no cached root of trust, and no configuration, can help.
    """
    words = shlex.split(command)
    assert words[0] == "cosign"
    environment = {"HOME": str(folder / "nobody"), "PATH": os.environ["PATH"], "HTTPS_PROXY": _NOWHERE, "HTTP_PROXY": _NOWHERE}
    isolated = ["unshare", "--net"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*isolated, cosign_or_skip(), *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
