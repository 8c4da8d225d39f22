"""An installation that runs for the length of a benchmark, in a folder of its own, and Dagster's storage opened from outside."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import yaml

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.settings import Settings
from stella_pipelines.supervisor.home import instance_configuration
from stella_pipelines.supervisor.supervisor import run

ACTOR: Final = Actor(name="bench", via="test")
UP_TIMEOUT_S: Final = 240.0
WAIT_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True)
class Running:
    """A `stella up` at work, as somebody beside it sees it."""

    plane: ControlPlane
    instance: dg.DagsterInstance


@contextmanager
def running(**configuration: Any) -> Iterator[Running]:
    """Bring an installation up, and down in the end. `configuration` replaces sections of its `dagster.yaml`."""
    with tempfile.TemporaryDirectory(prefix="stella-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        settings = Settings(home=home, database_url=f"sqlite:///{home / 'stella.db'}")
        if configuration:
            shipped = yaml.safe_load(instance_configuration(settings))
            (home / "dagster.yaml").write_text(yaml.safe_dump(shipped | configuration))
        os.environ["DAGSTER_HOME"] = str(home / "dagster")
        with open_control_plane(settings) as plane, _up(settings), dg.DagsterInstance.get() as instance:
            yield Running(plane, instance)


@contextmanager
def _up(settings: Settings) -> Iterator[None]:
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(settings, "127.0.0.1", 0, lambda _: ready.set(), stop))
    thread.start()
    try:
        if not ready.wait(UP_TIMEOUT_S):
            raise TimeoutError("the installation did not come up")
        yield
    finally:
        stop.set()
        thread.join()


def until(holds: Callable[[], bool], what: str, poll_s: float = 0.02) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not {what} within {WAIT_TIMEOUT_S:g} s")
        time.sleep(poll_s)
