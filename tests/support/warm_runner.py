"""A warm runner in a process of its own, whose runs only write down that they ran, and by which code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from stella_pipelines.jobs.warm.orders import Launched, Standing, Terminated, ask_standing, ask_to_launch, ask_to_terminate
from tests.support.installation import ROOT
from tests.support.waiting import eventually

PROGRAM = """
import importlib, os, sys, time
from stella_pipelines.jobs.warm import renewal
from stella_pipelines.jobs.warm.runner import serve

socket_path, folder = sys.argv[1:]
renewal.FORKS_MAX = int(os.environ.get("FORKS_MAX", renewal.FORKS_MAX))
renewal.CORE = os.environ.get("CORE", renewal.CORE)
if "OTHER_ACCOUNT" in os.environ:
    own = os.geteuid()
    os.geteuid = lambda: own + 1

if "NO_FORK" in os.environ:
    def os_fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")
    os.fork = os_fork

def tell(where, words):
    with open(os.path.join(folder, where), "a") as told:
        told.write(words + chr(10))

def execute(run_id):
    if run_id.startswith("slow"):
        give_up_at = time.monotonic() + 60
        while not os.path.exists(os.path.join(folder, "go")) and time.monotonic() < give_up_at:
            time.sleep(0.02)
    tell("told", f"{run_id} {sys.modules['plan'].WORD}")
    return 3 if run_id.startswith("bad") else 0

serve(socket_path, lambda: importlib.import_module("plan"), execute, lambda: tell("prepared", "once"))
"""


class WarmRunner:
    """Its runs: `slow…` wait until they may go on, `bad…` end with 3. Its code is `plan.py` in the folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder, self.socket_path, self.plan = folder, folder / "runner.sock", folder / "plan.py"
        self.log: list[str] = []
        self.write("one")
        variables = {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PYTHONDONTWRITEBYTECODE": "1", **(environ or {})}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.socket_path), str(folder)],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        eventually(self.socket_path.exists)

    def write(self, word: str) -> None:
        """Change the code."""
        self.plan.write_text(f"WORD = {word!r}\n")

    def launch(self, run_id: str, start_timeout_s: float = 0.0) -> Launched:
        return ask_to_launch(str(self.socket_path), run_id, start_timeout_s)

    def pid(self, run_id: str) -> int:
        """The process of a run that starts at once."""
        launched = self.launch(run_id)
        assert launched.run is not None, launched
        return launched.run.pid

    def terminate(self, run_id: str) -> Terminated:
        return ask_to_terminate(str(self.socket_path), run_id)

    def standing(self, run_id: str) -> Standing:
        return ask_standing(str(self.socket_path), run_id)

    def status(self, run_id: str) -> str:
        return self.standing(run_id).status

    def let_go(self) -> None:
        """The slow runs come to their end."""
        (self.folder / "go").touch()

    def told(self) -> list[str]:
        """What the runs wrote down: their id, and the word of the code."""
        return self._lines("told")

    def ran(self) -> list[str]:
        return [line.rpartition(" ")[0] for line in self.told()]

    def prepared(self) -> int:
        return len(self._lines("prepared"))

    def renewals(self) -> list[str]:
        return [line for line in self.log if "renewed itself" in line]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reading.join(10)  # not for ever: a run that outlived it would hold its output open

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.log.append(line)  # as it comes, because the tests read it meanwhile


def alive(pid: int) -> bool:
    """Whether the process still does anything; a dead one that nobody has waited for does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
