"""Turns outbox rows into runs as soon as they are written, asks gates again whose time has come, follows runs that died, and keeps the log.

`python -m stella_pipelines.supervisor.submitter CODE_SOCKET WEB_URL`.

Only for speed: the sensors do the same every few seconds. It also reloads the code location when the estate changes.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

from assets.catalogue import read_catalogue
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.requests import new_request, request
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.log.service import TAKEN_IN_EVERY_S
from stella_pipelines.jobs.recovery import follow_dead_runs, reevaluate_due
from stella_pipelines.jobs.resumption import resume_commanded
from stella_pipelines.jobs.submission import CODE_LOCATION, Submitter, python_origin, submit_pending
from stella_pipelines.store.outbox import Kind
from stella_pipelines.store.wakeups import wakeups
from stella_pipelines.supervisor.reloading import Reloading

log = logging.getLogger("stella.submitter")

PASS_S: Final = 1.0
"""The longest pause between two looks at the outbox and the clock; a row that is written ends it."""
CATALOGUE_POLL_S: Final = 2.0
SELDOM_S: Final = 5.0
"""How often it looks for runs that died, and for promotions that waited too long."""
TROUBLE_PAUSE_S: Final = 2.0
FOLLOWED: Final[tuple[Kind, ...]] = ("promotion", "deployment")


class Duties:
    """What a pass does: what people wait for every time, and the rest more seldom."""

    def __init__(self, plane: ControlPlane, submitter: Submitter) -> None:
        self._plane = plane
        self._submitter = submitter
        self._seldom_at_s = 0.0

    def do(self, now_s: float) -> None:
        """One pass at this monotonic time. Raises what the store raises."""
        with request(new_request()):
            self._pass(now_s)

    def _pass(self, now_s: float) -> None:
        for found in reevaluate_due(self._plane):
            log.info("%s is asked again: %s", found.promotion_id, found.reason)
        if now_s >= self._seldom_at_s:
            self._plane.promotions.expire_due()
            self._follow_the_dead()
            self._seldom_at_s = now_s + SELDOM_S
        for run_id in submit_pending(self._plane, self._submitter):
            log.info("submitted run %s", run_id)

    def _follow_the_dead(self) -> None:
        for kind in FOLLOWED:
            for found in follow_dead_runs(self._plane, self._submitter.instance, kind):
                log.info("%s goes on: %s", found.promotion_id, found.reason)
        for line in resume_commanded(self._plane, self._submitter.instance):
            log.info("%s", line)


def repeatedly(do: Callable[[], None], wait: Callable[[], object], stopping: threading.Event) -> None:
    """Do it and wait, again and again, until `stopping` is set. Trouble that may pass is waited out; anything else is raised, and stops the others too."""
    try:
        while not stopping.is_set():
            try:
                do()
            except StellaError as error:
                if not error.retryable:
                    raise
                log.warning("%s", error)
                stopping.wait(TROUBLE_PAUSE_S)
            wait()
    finally:
        stopping.set()


def keep_log(plane: ControlPlane) -> None:
    """What was sealed or noted gets its place in the log, and a checkpoint that proves it."""
    taken = plane.log.take_in()
    if taken is not None:
        log.debug("the log has %d entries", taken.size)


def keep_catalogue(plane: ControlPlane, reloading: Reloading) -> None:
    """The asset graph is that of the estate. A reload takes seconds, in which nobody else shall wait."""
    if reloading.keep_in_step(read_catalogue(plane)):
        log.info("reloaded the code location: the estate or the release names have changed")


def main(code_socket: str, web_url: str) -> None:
    """Open the installation that the environment names, and serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping = threading.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, lambda *_: stopping.set())
    origin = python_origin()
    repository = ReconstructableRepository(origin.code_pointer, origin.container_image, origin.executable_path, origin.entry_point).get_definition()
    location = GrpcServerCodeLocationOrigin(host="localhost", socket=code_socket, location_name=CODE_LOCATION)
    with open_control_plane(Settings.from_environ(os.environ)) as plane, dg.DagsterInstance.get() as instance:
        holder = f"submitter/{socket.gethostname()}/{os.getpid()}"
        reloading, woken = Reloading(web_url), wakeups(plane.settings.database_url, stopping)
        duties = Duties(plane, Submitter(instance, repository.get_job, location, holder))
        with ThreadPoolExecutor(2, "beside") as beside:
            kept = [
                beside.submit(repeatedly, lambda: keep_catalogue(plane, reloading), lambda: stopping.wait(CATALOGUE_POLL_S), stopping),
                beside.submit(repeatedly, lambda: keep_log(plane), lambda: stopping.wait(TAKEN_IN_EVERY_S), stopping),
            ]
            repeatedly(lambda: duties.do(time.monotonic()), lambda: woken.wait(PASS_S), stopping)
            for one in kept:
                one.result()
        woken.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
