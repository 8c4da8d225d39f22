"""Jobs of one op for the tests of runs that are ended: the op says that it began, waits until it may go on, and has an effect.

Files in the folder that `FOLDER_VARIABLE` names are how the test and the run's process speak.
"""

import os
import sys
import time
from pathlib import Path

import dagster as dg

FOLDER_VARIABLE = "WAITING_JOBS_FOLDER"
_END_S = time.monotonic() + 60.0
"""No process waits for a test that has gone."""


def _folder() -> Path:
    return Path(os.environ[FOLDER_VARIABLE])


def _wait_for(name: str) -> None:
    while not (_folder() / name).exists():
        if time.monotonic() > _END_S:
            os._exit(71)
        time.sleep(0.02)


def _tell(context: dg.OpExecutionContext, what: str) -> None:
    (_folder() / f"{what} {context.run_id}").write_text(str(os.getpid()))


@dg.op
def wait(context: dg.OpExecutionContext) -> None:
    print("words on stdout")
    print("words on stderr", file=sys.stderr)
    _tell(context, "began")
    _wait_for("go")
    _tell(context, "effect")


@dg.op
def refuse_to_end(context: dg.OpExecutionContext) -> None:
    _tell(context, "began")
    while True:
        try:
            _wait_for("go")
            break
        except BaseException:  # noqa: BLE001  # what a run does that must be killed
            continue
    _tell(context, "effect")


@dg.job(executor_def=dg.in_process_executor)
def patient() -> None:
    wait()


@dg.job(executor_def=dg.in_process_executor)
def stubborn() -> None:
    refuse_to_end()


@dg.definitions
def defs() -> dg.Definitions:
    """A process that loads them waits as long as there is a file `hold`."""
    while (_folder() / "hold").exists() and os.environ.get("IN_A_RUN"):
        time.sleep(0.02)
    return dg.Definitions(jobs=[patient, stubborn])
