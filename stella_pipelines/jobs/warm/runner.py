"""The warm runner: a process that has imported everything, and forks one child per run. `python -m stella_pipelines.jobs.warm.runner SOCKET`.

It never opens a database, a thread or a connection of its own, because children inherit what the parent has open. The definitions are built
from the store, in the child, at the moment of the run. A child dies with the runner (PDEATHSIG), so that a run that is reported dead is dead.

No run starts from code that has changed on disk: before each fork the runner looks, and becomes a new program if need be (`renewal.py`). Code
that cannot be imported disturbs no run; launches are refused, with the reason, until it can. This file, and what it imports at its top,
looks after the runs meanwhile, so it imports neither Dagster nor the product there.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from stella_pipelines.core.settings import InvalidSetting
from stella_pipelines.jobs.warm import renewal
from stella_pipelines.jobs.warm.child import STOP_SIGNALS
from stella_pipelines.jobs.warm.children import Children
from stella_pipelines.jobs.warm.dispatching import Dispatcher, Stop, refusal_because
from stella_pipelines.jobs.warm.freshness import Freshness
from stella_pipelines.jobs.warm.listening import Door
from stella_pipelines.jobs.warm.staleness import ImportedCode, files_of

CHILDREN_VARIABLE: Final = "STELLA_RUNNER_CHILDREN_MAX"
CHILDREN_MAX: Final = 32
"""Runs mostly wait for targets, so this bounds memory (some 40 MiB each) and not the processor."""


def serve(socket_path: str, warm: Callable[[], None], execute: Callable[[str], int], prepare: Callable[[], None]) -> None:
    """Import, listen, serve until SIGTERM or SIGINT. `prepare` is for a first start only: a runner that renews itself opens no database."""
    began_ns, stop, children_max = time.time_ns(), _stopped_by_signals(), alive_max(os.environ)
    handed = renewal.received()
    if handed is None:
        prepare()
    refusal, code = None, ImportedCode()
    try:
        _warm(warm)
        code.note(began_ns)
    except BaseException as error:
        if handed is None:
            raise
        refusal = refusal_because(f"{type(error).__name__}: {error}")
        code.note(began_ns, files_of(error))
    children = Children(children_max, handed.book if handed else None)
    door = Door.adopted(socket_path, handed.listener, handed.bound) if handed else Door.opened(socket_path)
    freshness = Freshness(code, refusal, renewal.resident_bytes(), time.monotonic())
    print(f"runner {os.getpid()} is ready" + (f"; it renewed itself, because {handed.why}" if handed else "") + (f". {refusal}" if refusal else ""), flush=True)
    Dispatcher(door, children, freshness, execute, stop).serve(handed.held if handed else ())


def _warm(warm: Callable[[], None]) -> None:
    warm()
    threads = len(os.listdir("/proc/self/task"))  # also those that Python does not know of
    if threads > 1:
        raise RuntimeError(f"the runner has {threads} threads and must not fork: {threading.enumerate()}")
    gc.collect()
    gc.freeze()


def _stopped_by_signals() -> Stop:
    stop = Stop()
    for which in STOP_SIGNALS:
        signal.signal(which, lambda *_: setattr(stop, "asked", True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # the program before this one blocked them
    return stop


def alive_max(environ: Mapping[str, str]) -> int:
    """How many runs may have a process at once."""
    text = environ.get(CHILDREN_VARIABLE) or str(CHILDREN_MAX)
    if not text.isdecimal() or int(text) < 1:
        raise InvalidSetting(f"{CHILDREN_VARIABLE} is {text!r}, which is not a number of runs.", next_step="Write a whole number from 1 up, or leave it out.")
    return int(text)


def prepare_instance() -> None:
    """Create or upgrade Dagster's tables once, before several processes would try at the same moment."""
    from stella_pipelines.jobs.storage import instance_storage  # not at the top: see above

    instance_storage.prepare_instance()


def warm_up() -> None:
    """Import what a run needs, and do once what every run would do."""
    from stella_pipelines.jobs.warm import warming

    warming.warm_up()


def execute_run(run_id: str) -> int:
    """Carry the run out in this process; its exit code."""
    from stella_pipelines.jobs.warm import execution

    return execution.execute_run(run_id)


def main(socket_path: str) -> None:
    """Serve at this socket."""
    serve(socket_path, warm_up, execute_run, prepare_instance)


if __name__ == "__main__":
    main(sys.argv[1])
