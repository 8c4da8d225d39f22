"""A run's process watches whether its run has been ended from outside: failed by run monitoring, or canceled by force. Then it must not go on.

Dagster tells nobody that it has marked a run, and a process that goes on writes SUCCESS over the mark in the end. So the process looks into the
run's log: when it writes that the run starts (`was_ended_before`), every few seconds while it works (`watched`), and at its end (`uphold`).
Between the mark and the end of the process it is the store's leases that protect the targets: whoever follows takes them under a higher token.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dagster import DagsterEventType, DagsterInstance, DagsterRun

LOOK_EVERY_S: Final = 3.0
PATIENCE_S: Final = 5.0
"""So long a process has to clean up after itself once it has been interrupted."""
SIGN_OF_LIFE_EVERY_S: Final = 120.0
SIGN_OF_LIFE: Final = "The run's process is at work."
JOIN_TIMEOUT_S: Final = 1.0
EXIT_CODE: Final = 70
_MARKS: Final = {DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED}


def marks(instance: DagsterInstance, run_id: str) -> list[DagsterEventType]:
    """How often, and as what, the run's log says that the run failed or was canceled; in the order in which it was written."""
    records = instance.get_records_for_run(run_id, of_type=_MARKS, ascending=True).records
    events = (record.event_log_entry.dagster_event for record in records)
    return [event.event_type for event in events if event is not None]


def without_own(found: list[DagsterEventType], own_end: DagsterEventType) -> list[DagsterEventType]:
    """Those that others wrote. Pure. A process writes one end at most; which of several that say the same is its own makes no difference."""
    mine = found.index(own_end) if own_end in found else len(found)
    return found[:mine] + found[mine + 1 :]


def uphold(instance: DagsterInstance, run: DagsterRun, mark: DagsterEventType, own_end: DagsterEventType | None) -> None:
    """Write the mark again, if this process has written something else over it."""
    if own_end is mark:
        return
    words = "The run had been ended from outside before its process ended; this stays so."
    report = instance.report_run_canceled if mark is DagsterEventType.RUN_CANCELED else instance.report_run_failed
    report(run, words)


@contextmanager
def watched(instance: DagsterInstance, run: DagsterRun) -> Iterator[None]:
    """Watch while the block is carried out."""
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(instance, run, over, _end_this_process), name="watches-its-run", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(JOIN_TIMEOUT_S)


def _watch(instance: DagsterInstance, run: DagsterRun, over: threading.Event, end: Callable[[threading.Event], None]) -> None:
    seen = False
    sign_at_s = time.monotonic() + SIGN_OF_LIFE_EVERY_S
    while not over.wait(LOOK_EVERY_S):
        try:
            found = bool(marks(instance, run.run_id))
            if time.monotonic() >= sign_at_s:
                instance.report_engine_event(SIGN_OF_LIFE, run)
                sign_at_s = time.monotonic() + SIGN_OF_LIFE_EVERY_S
        except Exception as error:  # noqa: BLE001  # a database that is away says nothing about the run: look again
            print(f"cannot see whether the run was ended from outside: {type(error).__name__}: {error}", flush=True)
            continue
        if found and seen:  # the first time it may be the end that this process has just written itself
            end(over)
            return
        seen = found


def _end_this_process(over: threading.Event) -> None:
    print("the run was ended from outside, so its process ends", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    if not over.wait(PATIENCE_S):
        os._exit(EXIT_CODE)
