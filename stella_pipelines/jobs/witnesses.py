"""Whether a run lives that the code server started, judged from what two witnesses say: the code server, and the run's own process.

The code server alone is no proof against a run: after a reload, the new server answers, and the old one, which nobody can ask any more, still
carries its runs to their end. So the process that the run named in its first event is looked for too, when it must be on this machine.
Dagster fails a run that is neither RUNNING nor SUCCESS, and `recovery.py` follows it with a new attempt.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from dagster import DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from stella_pipelines.core.values import Value

FIRST_EVENTS: Final = 20
"""A run names its process among its first engine events."""
CLOCK_TOLERANCE_S: Final = 5.0
"""How much later than its first event a process may seem to have begun: the machine's clock is corrected now and then."""
_HERE: Final = ("localhost", "127.0.0.1", "::1")


class Witnessed(Value):
    """What is known about a run's process. None: nobody could be asked, or nobody said."""

    code_server_has_it: bool | None
    pid: int | None
    pid_lives: bool | None


def judged(said: Witnessed) -> CheckRunHealthResult:
    """The run's health. Pure."""
    if said.code_server_has_it:
        return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server carries it out")
    if said.pid_lives:
        return CheckRunHealthResult(WorkerStatus.RUNNING, f"process {said.pid} lives; the code server that started it was reloaded or is away")
    if said.pid_lives is False:
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"process {said.pid} is gone, and the code server does not have the run")
    if said.code_server_has_it is False and said.pid is None:
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server does not have it, and no process says that it began it")
    return CheckRunHealthResult(WorkerStatus.UNKNOWN, "the code server that started it cannot be asked, and no process on this machine says that it began it")


def heard(instance: DagsterInstance, run: DagsterRun, code_server_has_it: bool | None) -> Witnessed:
    """Look for the run's process, if it was started on this machine."""
    pid, named_at = _named_process(instance, run.run_id)
    here = pid is not None and _is_here(run.tags.get(GRPC_INFO_TAG, "{}"))
    return Witnessed(code_server_has_it=code_server_has_it, pid=pid, pid_lives=process_lives(pid, named_at) if here and pid is not None else None)


def process_lives(pid: int, named_at: float) -> bool:
    """Whether the process that had this id at that time (seconds since 1970) still does anything.

    One that ended and that nobody has waited for does not. One that began later is another process, which got the id after a restart.
    """
    try:
        os.kill(pid, 0)
        state, began_at = _state_and_beginning(pid)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another account's process, or a system without /proc: it is there, and no more can be said
        return True
    return state != "Z" and began_at <= named_at + CLOCK_TOLERANCE_S


def _state_and_beginning(pid: int) -> tuple[str, float]:
    """From /proc: the process's state letter, and when it began, in seconds since 1970."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # the name before may hold spaces and brackets
    booted_at = next((float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")), 0.0)
    return fields[0], booted_at + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _named_process(instance: DagsterInstance, run_id: str) -> tuple[int | None, float]:
    """The process that said in the run's log that it is the run's, and when it said so."""
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.ENGINE_EVENT, limit=FIRST_EVENTS).records
    for record in records:
        event = record.event_log_entry.dagster_event
        named = event.engine_event_data.metadata.get("pid") if event is not None else None
        if named is not None and str(named.value).isdecimal():
            return int(str(named.value)), record.event_log_entry.timestamp
    return None, 0.0


def _is_here(grpc_info: str) -> bool:
    """Whether the address of the code server is one of this machine: a socket, or the loopback."""
    address = json.loads(grpc_info)
    return bool(address.get("socket")) or address.get("host") in _HERE
