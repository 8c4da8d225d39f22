"""The files in deploy/ as the programs that read them see them: Compose's own reading of its file, and the environment of a service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
IN_CI: Final = os.environ.get("CI", "").lower() not in ("", "0", "false")


def program(name: str, install: str) -> str:
    """Where a program is. Without it: a failure in CI, a skip that says what to install elsewhere."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        (pytest.fail if IN_CI else pytest.skip)(f"{name} is not installed: {install}")
    return found


@cache
def compose(*words: str) -> dict[str, Any]:
    """compose.yaml with everything that is repeated or filled in written out, for these global options, such as `--profile split`."""
    command = [program("docker-compose", "pip install -e '.[dev]'"), "--project-directory", str(DEPLOY), *words, "config", "--format", "json"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("STELLA_", "COMPOSE_", "POSTGRES_"))}
    done = subprocess.run(command, env=plain, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document
