"""The README's "Use it" works as typed: its lines are run here, with the lab's folder and the UI's port moved aside.

Left out is what a test cannot do to its own machine: `make install` and activating `.venv`; two shims stand in for what they put on the path.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LAB_FOLDER: Final = "/tmp/stella-lab"  # as the README says it; replaced by a folder of the test
ACTIVATE: Final = ". .venv/bin/activate"
START_TIMEOUT_S: Final = 120.0
STEP_TIMEOUT_S: Final = 120.0


def blocks() -> list[list[str]]:
    section = README.split("## Use it\n", 1)[1].split("\n## ", 1)[0]
    return [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)]


def expected_exit(line: str) -> int:
    found = re.search(r"# .*exit code (\d+)", line)
    return int(found[1]) if found else 0


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """A shell of a new user: nothing of ours is set, and `stella` and `python` are on the path."""
    shims = tmp_path / "bin"
    shims.mkdir()
    for name, words in (("stella", "-m stella_pipelines.cli"), ("python", "")):
        (shims / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (shims / name).chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("STELLA_", "DAGSTER_"))}
    return {**plain, "PATH": f"{shims}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@contextmanager
def terminal(line: str, says: str, folder: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """A terminal in which a line runs until Ctrl-C; entered when it has said that it is ready."""
    log = folder / f"{abs(hash(line))}.log"
    with log.open("w") as out:
        process = subprocess.Popen(["bash", "-c", f"exec env {line}"], cwd=folder, env=dict(environ), stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while says not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STEP_TIMEOUT_S)
    assert process.returncode == 0, log.read_text()


def test_the_walk_works_as_typed(tmp_path: Path, environ: Mapping[str, str]) -> None:
    install, lab, up, you = blocks()
    assert install[0].split("#")[0].split() == ["LAB=embedded", "make", "install"]
    assert lab[0] == up[0] == you[0] == ACTIVATE
    assert up[1:] == ["stella up"]
    lab_line = lab[1].replace(LAB_FOLDER, str(tmp_path / "lab"))
    with terminal(lab_line, "Ctrl-C removes it", tmp_path, environ), terminal("stella up --port 0", "Stella is up", tmp_path, environ):
        for line in you[1:]:
            typed = line.replace(LAB_FOLDER, str(tmp_path / "lab"))
            done = subprocess.run(["bash", "-c", typed], cwd=tmp_path, env=dict(environ), capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False)
            assert done.returncode == expected_exit(line), f"{typed}\n{done.stdout}{done.stderr}"
    assert not (tmp_path / "lab").exists()
    assert "decision" in done.stdout
