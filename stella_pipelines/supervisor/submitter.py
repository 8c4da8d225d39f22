"""Turns outbox rows into runs within a quarter of a second, and asks gates again whose time has come.

`python -m stella_pipelines.supervisor.submitter CODE_SOCKET WEB_URL`.

Only for speed: the sensors do the same every five seconds. It also reloads the code location when the estate changes.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import Final

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

from assets.catalogue import read_catalogue
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import Settings
from stella_pipelines.jobs.recovery import reevaluate_due
from stella_pipelines.jobs.submission import CODE_LOCATION, Submitter, python_origin, submit_pending
from stella_pipelines.supervisor.reloading import Reloading

log = logging.getLogger("stella.submitter")

POLL_S: Final = 0.25
DUE_POLL_S: Final = 1.0
CATALOGUE_POLL_S: Final = 2.0
TROUBLE_PAUSE_S: Final = 2.0


def serve(plane: ControlPlane, submitter: Submitter, reloading: Reloading, stopping: threading.Event) -> None:
    """Submit and reload until `stopping` is set. Trouble that may pass is waited out; anything else ends the process, which is started again."""
    look_again_at = due_again_at = 0.0
    while not stopping.wait(POLL_S):
        try:
            if time.monotonic() >= due_again_at:
                for found in reevaluate_due(plane):
                    log.info("%s is asked again: %s", found.promotion_id, found.reason)
                due_again_at = time.monotonic() + DUE_POLL_S
            for run_id in submit_pending(plane, submitter):
                log.info("submitted run %s", run_id)
            if time.monotonic() >= look_again_at:
                if reloading.keep_in_step(read_catalogue(plane)):
                    log.info("reloaded the code location: the estate or the release names have changed")
                look_again_at = time.monotonic() + CATALOGUE_POLL_S
        except StellaError as error:
            if not error.retryable:
                raise
            log.warning("%s", error)
            stopping.wait(TROUBLE_PAUSE_S)


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
        serve(plane, Submitter(instance, repository.get_job, location, holder), Reloading(web_url), stopping)


if __name__ == "__main__":
    main(*sys.argv[1:])
