"""An installation without a runner, where runs cannot be forked: Dagster's own launcher starts them, and that is said once.

Not here: whether they can be forked (`jobs/warm/forking.py`).
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from stella_pipelines.supervisor.errors import ProcessDied
from stella_pipelines.supervisor.process import SupervisedProcess

log = logging.getLogger("stella.supervisor")

SOCKET_VARIABLE: Final = "STELLA_RUNNER_SOCKET"
POLL_S: Final = 0.1


def use_the_stock_launcher(reason: str, environ: MutableMapping[str, str], logs: Path) -> None:
    """Say why, on the terminal and where the runner's log would be, and name no socket to any process."""
    words = f"Runs are started by Dagster's own launcher, which takes seconds for each instead of a fraction of one: {reason}."
    log.warning(words)
    with (logs / "runner.log").open("a") as runner_log:
        runner_log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {words}\n")
    environ.pop(SOCKET_VARIABLE, None)


def create_tables(environ: Mapping[str, str], logs: Path, stopping: threading.Event) -> None:
    """Do alone, and before anything else starts, what the runner would have done first: create or upgrade Dagster's tables."""
    process = SupervisedProcess("tables", (sys.executable, "-m", "stella_pipelines.jobs.storage.instance_storage"), environ, logs)
    process.start()
    while process.exit_code is None and not stopping.wait(POLL_S):
        pass
    process.ask_to_stop()
    process.finish(0.0)
    if process.exit_code != 0 and not stopping.is_set():
        raise ProcessDied(
            f"Dagster's tables could not be created: the process ended with {process.exit_code}. Its last words:\n{process.log_tail()}\n",
            next_step=f"The whole log is {process.log_path}.",
        )
