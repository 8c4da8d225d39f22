"""Celery workers of an installation, started as docs/deployments.md says, each in a process group of its own that can be killed as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, Settings
from stella_pipelines.jobs.shards.sharding import BROKER_VARIABLE
from tests.support.installation import ROOT

STOP_TIMEOUT_S = 15.0


def worker_environment(settings: Settings, broker: str) -> Mapping[str, str]:
    """What a worker needs to know."""
    return {
        **os.environ,
        HOME_VARIABLE: str(settings.home),
        DATABASE_VARIABLE: settings.database_url,
        BROKER_VARIABLE: broker,
        "DAGSTER_HOME": str(settings.home / "dagster"),
        "PYTHONPATH": str(ROOT),
    }


class CeleryWorker:
    """One worker with its processes."""

    def __init__(self, name: str, environ: Mapping[str, str], folder: Path) -> None:
        self.log = folder / f"{name}.log"
        arguments = ("-m", "celery", "-A", "stella_pipelines.jobs.shards.celery_app", "worker", "--concurrency", "2", "-n", f"{name}@%h", "--loglevel", "INFO")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments], env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def is_ready(self) -> bool:
        """Whether it takes steps."""
        assert self.process.poll() is None, self.log.read_text()
        return b" ready." in self.log.read_bytes()

    def kill(self) -> None:
        """Kill the worker alone: its step processes have to die with it by themselves."""
        self.process.kill()
        self.process.wait()

    def is_gone(self) -> bool:
        """Whether no process of its group is alive."""
        return not any(_is_alive_in(self.process.pid, entry) for entry in Path("/proc").glob("[0-9]*"))

    def stop(self) -> None:
        """Ask it to end, and end what is left."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _is_alive_in(group: int, entry: Path) -> bool:
    try:
        state, _, of_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False  # it ended while we looked
    return int(of_group) == group and state != "Z"


@contextmanager
def celery_workers(count: int, settings: Settings, broker: str, folder: Path) -> Iterator[list[CeleryWorker]]:
    """Workers that are gone after the block."""
    workers = [CeleryWorker(f"worker-{number}", worker_environment(settings, broker), folder) for number in range(1, count + 1)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()
