"""Plain processes of this machine: started through a keeper, known by number and start time, stopped by signal. Linux only (/proc).

No isolation: a component runs under the caller's account and sees all that it sees.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from stella_pipelines.connectors.process import keeper
from stella_pipelines.connectors.process.files import locked
from stella_pipelines.core.values import Value

LOG_BYTES_MAX: Final = 2 * 1024 * 1024
"""The output that is kept of one instance."""
KILL_TIMEOUT_S: Final = 5.0
"""How long to wait for the kernel to end a process after SIGKILL."""
_POLL_S: Final = 0.02


class Command(Value):
    """What to execute. The environment may hold secrets, so this is handed over and never stored."""

    file: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    working_directory: str


class ProcessRecord(Value):
    """What the keeper wrote about a start: the process's identity, or why there is none."""

    pid: int = 0
    started_ticks: int = 0
    boot_id: str = ""
    failed: str | None = None


class InstanceProcess:
    """The process of one instance, whose files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record_path = folder / "process.json"
        self._ending_path = folder / "ending.json"
        self.log_path = folder / "output.log"

    def start(self, command: Command) -> None:
        """Start the process, unless it runs. Returns when its start has succeeded or failed; `failure()` tells."""
        lock = self._folder / "launch.lock"
        with locked(lock) as descriptor:
            if self.runs():
                return
            for path in (self._record_path, self._ending_path):
                path.unlink(missing_ok=True)
            self._launch(command, descriptor)
        with locked(lock):
            return  # the keeper has let go of its copy, so the record is written

    def _launch(self, command: Command, lock_descriptor: int) -> None:
        document = {
            **command.document(),
            "record": str(self._record_path),
            "ending": str(self._ending_path),
            "log": str(self.log_path),
            "log_bytes_max": LOG_BYTES_MAX,
            "lock_descriptor": lock_descriptor,
        }
        subprocess.run(
            [sys.executable, "-I", "-S", keeper.__file__, str(self._folder)],  # the folder is for people who read `ps`
            input=json.dumps(document).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock_descriptor,),
            start_new_session=True,
            cwd="/",
            env={},
            check=True,
        )

    def runs(self) -> bool:
        """Whether this very process runs: the number alone may belong to another one by now."""
        record = self._record()
        return record is not None and record.failed is None and _runs(record)

    def pid(self) -> int | None:
        """The number of the running process."""
        record = self._record()
        return record.pid if record is not None and self.runs() else None

    def started_at_s(self) -> float | None:
        """When the running process started, in seconds since the machine did."""
        record = self._record()
        return None if record is None or record.failed is not None else record.started_ticks / os.sysconf("SC_CLK_TCK")

    def failure(self) -> str | None:
        """Why the process does not run, in the system's words; None while it runs."""
        if self.runs():
            return None
        record = self._record()
        if record is not None and record.failed is not None:
            return record.failed
        try:
            return f"it exited with code {json.loads(self._ending_path.read_bytes())['exit_code']}"
        except (OSError, ValueError, KeyError):
            return "it is gone, and nobody saw how it ended"

    def output(self, bytes_max: int) -> bytes:
        """The end of what the process wrote."""
        parts = [path.read_bytes() for path in (self.log_path.with_name(f"{self.log_path.name}.1"), self.log_path) if path.is_file()]
        return b"".join(parts)[-bytes_max:]

    def stop(self, timeout_s: float) -> None:
        """SIGTERM to the process and its children, and SIGKILL to what is left after the timeout; also to children that outlived the process.

        Only a group that is proven to be ours gets a signal: its first process, running or ended, is still in the process table as we
        started it. Children that made a session or group of their own are not followed.
        """
        record = self._record()
        if record is None or record.failed is not None:
            return
        for number, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, KILL_TIMEOUT_S)):
            if _state(record) is None:
                return
            _signal(record.pid, number)
            _wait(record, patience_s)

    def _record(self) -> ProcessRecord | None:
        try:
            return ProcessRecord.model_validate_json(self._record_path.read_bytes())
        except (OSError, ValidationError):
            return None


def uptime_s() -> float:
    """Seconds since the machine started, on the clock of the processes' start times."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _runs(record: ProcessRecord) -> bool:
    return (_state(record) or "Z") not in ("Z", "X")


def _state(record: ProcessRecord) -> str | None:
    """The state of this very process in the kernel's letters; None when it is out of the process table, and its number is anybody's."""
    try:
        stat = Path(f"/proc/{record.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        same = int(stat[19]) == record.started_ticks and keeper.boot_id() == record.boot_id
    except (OSError, IndexError, ValueError):
        return None
    if not same:
        return None
    if stat[0] == "Z" and int(stat[1]) == os.getpid() and not keeper.group_runs(record.pid):
        os.waitpid(record.pid, os.WNOHANG)  # we are process 1 of a container, and inherited it
        return None
    return stat[0]


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # all of them are gone


def _wait(record: ProcessRecord, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while (_runs(record) or keeper.group_runs(record.pid)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
