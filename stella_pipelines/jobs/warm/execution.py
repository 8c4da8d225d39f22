"""What a run's process does: open Dagster's instance, and carry the run out, unless it has ended already.

Not here: the process itself (`child.py`), and what is done once for all runs (`warming.py`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import dagster as dg
from dagster import DagsterEventType
from dagster._core.instance.ref import InstanceRef
from dagster._grpc.impl import core_execute_run
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

from stella_pipelines.jobs.warm.watching import marks, uphold, watched, without_own

_ENDS: Final = (DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED)
_read: dict[tuple[str, int, int], InstanceRef] = {}
"""The instance's configuration by the state of its file: read by the runner, used by its children."""


def execute_run(run_id: str) -> int:
    """Carry the run out in this process; its exit code."""
    setup_interrupt_handlers()
    with capture_interrupts(), dg.DagsterInstance.from_ref(instance_ref()) as instance:
        run = instance.get_run_by_id(run_id)
        if run is None or run.job_code_origin is None:
            print(f"run {run_id} is gone or has no code; nothing was executed")
            return 1
        with watched(instance, run):
            return carry_out(instance, run)


def carry_out(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    """Execute its steps. A run that was marked as failed or canceled from outside stays so, whatever this process writes."""
    if run.job_code_origin is None:
        return 1
    own_end = None
    events = core_execute_run(recon_job_from_origin(run.job_code_origin), run, instance, inject_env_vars=False)
    for event in events:
        # Dagster looks before this event, which makes the run STARTED, and not again: a mark that was written in between would be lost.
        if event.event_type is DagsterEventType.RUN_START and (before := marks(instance, run.run_id)):
            events.close()
            uphold(instance, run, before[0], None)
            print(f"run {run.run_id} was ended before it began; nothing was executed")
            return 1
        own_end = event.event_type if event.event_type in _ENDS else own_end
    if own_end is not None and (others := without_own(marks(instance, run.run_id), own_end)):
        uphold(instance, run, others[0], own_end)
    return 0


def instance_ref() -> InstanceRef:
    """The configuration of the instance that `DAGSTER_HOME` names; read and checked once as long as its file stays the same."""
    home = os.environ["DAGSTER_HOME"]
    try:
        found = (Path(home) / "dagster.yaml").stat()
    except FileNotFoundError:
        return InstanceRef.from_dir(home)  # an instance may do without
    key = (home, found.st_mtime_ns, found.st_size)
    if key not in _read:
        _read[key] = InstanceRef.from_dir(home)
    return _read[key]
