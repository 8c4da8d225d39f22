"""The life of a run's process from the fork to its last breath, whatever the run is. What a run does: `execution.py`."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Final, NoReturn

from stella_pipelines.jobs.warm.mortality import die_with_parent

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def fork_a_run(run_id: str, execute: Callable[[str], int], close_in_child: Callable[[], None]) -> int:
    """Fork; in the parent, the child's process id. The child never returns. `OSError`: there is no child."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # A signal that comes before the child has handlers of its own must wait, or the runner's handler would swallow it there.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _be_a_run(run_id, parent, execute, close_in_child)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    return pid


def _be_a_run(run_id: str, parent: int, execute: Callable[[str], int], close_in_child: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        die_with_parent(parent, signal.SIGKILL)
        close_in_child()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        code = execute(run_id)
    except BaseException:  # noqa: BLE001  # the last frame of the process: what is not printed here is lost, and the exit code says it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
