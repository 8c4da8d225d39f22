"""The commands of a page of the documentation, run in a real shell as they stand there."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
STEP_TIMEOUT_S: Final = 120.0


def blocks(page: str) -> list[str]:
    """The shell blocks of a page, in their order."""
    return _BLOCK.findall((ROOT / "docs" / page).read_text())


class Shell:
    """A shell in a folder of its own, where `stella` is this checkout's, and `STELLA_HOME` is what the test says."""

    def __init__(self, folder: Path, home: Path, more: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        shims = folder / ".shims"
        shims.mkdir(parents=True)
        stella = shims / "stella"
        stella.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stella_pipelines.cli "$@"\n')
        stella.chmod(stella.stat().st_mode | stat.S_IXUSR)
        own = {"STELLA_HOME": str(home), "PATH": f"{shims}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        self._environ = {**os.environ, **own, **(more or {})}

    def run(self, text: str) -> str:
        """What the lines print; the first that fails ends them, and the test."""
        done = subprocess.run(
            ["bash", "-eu", "-c", text], cwd=self.folder, env=self._environ, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout
