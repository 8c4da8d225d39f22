"""One process of the installation: started in a group of its own, logged to a file, restarted when it crashes, stopped with all it started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_AFTER_S: Final = 60.0
"""A process that ran for so long starts its back-off from the beginning."""
LOG_TAIL_BYTES: Final = 4_000
LOG_BYTES_MAX: Final = 20 * 1024 * 1024


class SupervisedProcess:
    """A command that shall run for as long as the installation does."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log_path = logs / f"{name}.log"
        self._command = [sys.executable, "-m", "stella_pipelines.supervisor.tether", str(os.getpid()), *command]
        self._environ = dict(environ)
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at: float | None = None
        self.restarts = 0

    def start(self) -> None:
        """Start it now. The calling thread must live as long as the child: the kernel ties the two together."""
        _keep_small(self.log_path)
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                self._command, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._started_at, self._restart_at = time.monotonic(), None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.poll() if self._child is not None else None

    def keep_alive(self, now: float) -> bool:
        """Restart it if it ended and its back-off is over; whether it was restarted."""
        if self.exit_code is None:
            _keep_small(self.log_path)
            return False
        if self._restart_at is None:
            self._signal_group(signal.SIGKILL)  # what it had started must not meet its successor
            steady = now - self._started_at > STEADY_AFTER_S
            self.restarts = 0 if steady else self.restarts
            self._restart_at = now + BACKOFF_S[min(self.restarts, len(BACKOFF_S) - 1)]
        if now < self._restart_at:
            return False
        self.restarts += 1
        self.start()
        return True

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process; what it started is its own business until `finish`."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def finish(self, deadline: float) -> None:
        """Wait for the end until `deadline`, then kill; afterwards nothing of its group is left."""
        if self._child is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(max(0.0, deadline - time.monotonic()))
        self._signal_group(signal.SIGKILL)
        self._child.wait()

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        try:
            return self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _signal_group(self, which: signal.Signals) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, which)


def _keep_small(log: Path) -> None:
    """At most one older log beside the current one, which is emptied in place: its process has it open, and appends. A line in between may be lost."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
