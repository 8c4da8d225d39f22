"""A long-running program of the lab: started in a session of its own, with its output in a file, and always reaped.

A session of its own, because Ctrl-C in a terminal goes to the whole foreground group, and the lab decides itself what stops when.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from stella_pipelines.lab.errors import LabNotStarted

START_TIMEOUT_S: Final = 30.0
"""One daemon's start. It takes well under a second; a busy machine needs more."""
LOG_TAIL_BYTES: Final = 2000
"""How much of its log a failed daemon shows."""
_SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Users' PATH often lacks the sbin folders, where the daemons are."""


def search_path(environ: Mapping[str, str]) -> str:
    """The caller's PATH, then the system's own folders."""
    return ":".join(part for part in (environ.get("PATH", ""), _SEARCH_PATH) if part)


class Daemon:
    """One running program."""

    def __init__(self, name: str, words: Sequence[str], log: Path) -> None:
        self.name, self.log = name, log
        temporary = log.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        # What a killed daemon leaves in its folder for temporary files (runc does) goes with the lab.
        environ = {"PATH": search_path(os.environ), "HOME": str(log.parent), "TMPDIR": str(temporary), "LANG": "C.UTF-8"}
        with log.open("ab") as output:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ, start_new_session=True)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process and reap it. Killing it twice is fine."""
        self._process.kill()
        self._process.wait()

    def wait_until(self, is_ready: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the daemon answers; raise with the end of its log when it died or is too slow."""
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.is_running():
                raise self._failure(f"ended with code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {timeout_s:.0f} s")
            time.sleep(0.01)

    def _failure(self, what: str) -> LabNotStarted:
        tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return LabNotStarted(
            f"The lab's {self.name} {what}. Its last words: {tail or '(none)'}",
            unchanged="The lab has been removed again.",
            next_step="Use the embedded lab (LAB=embedded), or make what it complains about available.",
        )
