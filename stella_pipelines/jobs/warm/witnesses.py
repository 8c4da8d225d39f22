"""Whether a run lives about which nobody can be asked who would know, judged from what can be seen.

A run that the code server started: the code server alone is no proof against it. After a reload, the new server answers, and the old one,
which nobody can ask any more, still carries its runs to their end. So the process that the run named in its first event is looked for too.

A run of a runner that does not listen, or does not know it: its process is looked for, by the name that the launcher wrote down. A runner without
its socket still has its runs, and a dead one has none, because they die with it. On another machine nothing can be looked for; there a run
lives as long as its log grows, and a process that works in silence writes a line now and then (`watching.py`).

Dagster fails a run that is neither RUNNING nor SUCCESS, UNKNOWN included, and `recovery.py` follows it with a new attempt.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, Literal

from dagster import DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from stella_pipelines.core.values import Value
from stella_pipelines.jobs.warm.presence import Place, ProcessName, Whereabouts, here, is_alive, state_and_beginning

FIRST_EVENTS: Final = 20
"""A run names its process among its first engine events."""
CLOCK_TOLERANCE_S: Final = 5.0
"""How much later than its first event a process may seem to have begun: the machine's clock is corrected now and then."""
WHEREABOUTS_TAG: Final = "stella/process"
SILENT_FOR_S_MAX: Final = 300.0
"""A run on another machine is taken for dead after so long without a line in its log; it writes one at least every two minutes."""
_HERE: Final = ("localhost", "127.0.0.1", "::1")


class Witnessed(Value):
    """What is known about a run's process. None: nobody could be asked, or nobody said."""

    code_server_has_it: bool | None
    pid: int | None
    pid_lives: bool | None


RunnerSays = Literal["away", "silent", "unknown", "known"]
"""Of a runner who was to be asked about a run: nobody listens, somebody does and says nothing, or what is said."""


class Seen(Value):
    """What can be seen of a run of a runner. None: it cannot be seen, or nobody wrote it down."""

    runner: RunnerSays
    whereabouts: Whereabouts | None
    here: Place
    runner_lives: bool | None
    run_lives: bool | None
    named_pid_lives: bool | None
    """The process that the run named in its log, for a run whose launcher died before it could write the whereabouts down."""
    silent_for_s: float


def seen_from_here(it: Seen) -> CheckRunHealthResult:
    """The run's health. Pure."""
    where = it.whereabouts
    if where is None:
        return _unwritten(it)
    if where.place != it.here:
        return _elsewhere(where, it)
    if where.run is not None and it.run_lives:
        return CheckRunHealthResult(WorkerStatus.RUNNING, f"process {where.run.pid} lives; its runner could not be asked")
    if where.run is None and it.runner_lives and it.runner != "unknown":
        return CheckRunHealthResult(WorkerStatus.RUNNING, f"its runner (process {where.runner.pid}) lives and could not be asked")
    return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone" if where.run else "its runner is gone, and its runs with it")


def _unwritten(it: Seen) -> CheckRunHealthResult:
    if it.named_pid_lives:
        return CheckRunHealthResult(WorkerStatus.RUNNING, "the process that named itself in the run's log lives")
    if it.runner == "silent" and it.named_pid_lives is None:
        return CheckRunHealthResult(WorkerStatus.UNKNOWN, "the runner did not answer, and no process says that it began it")
    return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the runner is away or does not know it, and no process of this machine has the run")


def _elsewhere(where: Whereabouts, it: Seen) -> CheckRunHealthResult:
    if where.place.host == it.here.host and where.place.boot != it.here.boot:
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"{where.place.host} has been started again since")
    if it.silent_for_s > SILENT_FOR_S_MAX:
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"on {where.place.host}, where it ran, nobody has written into its log for {it.silent_for_s:.0f} s")
    return CheckRunHealthResult(WorkerStatus.RUNNING, f"it runs on {where.place.host}, and was heard of {it.silent_for_s:.0f} s ago")


def whereabouts_of(run: DagsterRun) -> Whereabouts | None:
    """What the launcher wrote down; None when it did not, or when this version cannot read it."""
    try:
        return Whereabouts.model_validate_json(run.tags[WHEREABOUTS_TAG])
    except (KeyError, ValueError):
        return None


def seen(instance: DagsterInstance, run: DagsterRun, runner: RunnerSays, now_s: float) -> Seen:
    """Look for the processes of a run of a runner."""
    where, place = whereabouts_of(run), here()
    is_here = where is not None and where.place == place
    named, named_at = _named_process(instance, run.run_id) if where is None else (None, 0.0)
    return Seen(
        runner=runner,
        whereabouts=where,
        here=place,
        runner_lives=_lives(where.runner) if is_here and where is not None else None,
        run_lives=_lives(where.run) if is_here and where is not None else None,
        named_pid_lives=process_lives(named, named_at) if named is not None else None,
        silent_for_s=now_s - _last_heard_of(instance, run.run_id) if where is not None and not is_here else 0.0,
    )


def _lives(process: ProcessName | None) -> bool | None:
    return is_alive(process) if process is not None else None


def _last_heard_of(instance: DagsterInstance, run_id: str) -> float:
    records = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return records[0].event_log_entry.timestamp if records else 0.0


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
    """The process's state letter, and when it began, in seconds since 1970."""
    state, began = state_and_beginning(pid)
    booted_at = next((float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")), 0.0)
    return state, booted_at + began / os.sysconf("SC_CLK_TCK")


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
