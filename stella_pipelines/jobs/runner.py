"""The warm runner: a process that has imported everything, and forks one child per run. `python -m stella_pipelines.jobs.runner SOCKET`.

It never opens a database, a thread or a connection of its own, because children inherit what the parent has open. It does not import the
definitions either: they are built from the store, in the child, at the moment of the run. A child dies with the runner (PDEATHSIG), so
that a run which is reported dead is dead.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import dagster as dg
from dagster._grpc.impl import core_execute_run
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

from stella_pipelines.core.values import Value
from stella_pipelines.jobs.mortality import die_with_parent

PRELOADED: Final = (
    "dagster._core.executor.in_process",
    "dagster._core.storage.local_compute_log_manager",
    "alembic.command",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "dagster_postgres",
    "assets.checks",
    "sensors.promotions",
    "sensors.deployments",
    "sensors.releases",
    "stella_pipelines.control_plane",
    "stella_pipelines.jobs.catalogue",
)
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
STOP_TIMEOUT_S: Final = 6.0
FINISHED_KEPT_MAX: Final = 1_000
ORDER_BYTES_MAX: Final = 64 * 1024
ORDER_TIMEOUT_S: Final = 5.0


class Order(Value):
    """What somebody asks of the runner."""

    order: Literal["launch", "terminate", "status"]
    run_id: str


class Runner:
    """Children by run id, and what became of those that ended."""

    def __init__(self, listener: socket.socket, execute: Callable[[str], int]) -> None:
        self._listener = listener
        self._execute = execute
        self._alive: dict[str, int] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self.stopping = False

    def serve(self) -> None:
        """Take orders until `stopping` is set."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self.stopping:
                for _ in selector.select(timeout=0.5):
                    self._take_order()
                self._reap()
        self._stop_children()

    def _take_order(self) -> None:
        connection, _ = self._listener.accept()
        with connection, contextlib.suppress(OSError, ValueError):  # a caller that hung up or spoke nonsense gets no answer
            connection.settimeout(ORDER_TIMEOUT_S)
            with connection.makefile("rb") as orders:
                order = Order.model_validate_json(orders.readline(ORDER_BYTES_MAX))
            self._reap()
            connection.sendall(json.dumps(self._answer(order, connection)).encode() + b"\n")

    def _answer(self, order: Order, connection: socket.socket) -> dict[str, Any]:
        pid = self._alive.get(order.run_id)
        if order.order == "launch":
            return {"pid": self._launch(order.run_id, pid, connection)}
        if order.order == "terminate":
            if pid is not None:
                os.kill(pid, signal.SIGINT)
            return {"alive": pid is not None}
        return self._status(order.run_id, pid)

    def _launch(self, run_id: str, pid: int | None, connection: socket.socket) -> int:
        """Asked twice for the same run, the runner starts it once."""
        if pid is not None:
            return pid
        return 0 if run_id in self._ended else self._fork(run_id, connection)

    def _status(self, run_id: str, pid: int | None) -> dict[str, Any]:
        if pid is not None:
            return {"status": "RUNNING", "says": f"process {pid}"}
        if run_id not in self._ended:
            return {"status": "NOT_FOUND", "says": "this runner never started it"}
        code = self._ended[run_id]
        return {"status": "SUCCESS" if code == 0 else "FAILED", "says": f"the run's process ended with {code}"}

    def _fork(self, run_id: str, connection: socket.socket) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # A signal that comes before the child has handlers of its own must wait, or the runner's handler would swallow it there.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._listener.close()
            connection.close()
            _be_a_run(run_id, parent, self._execute)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        self._alive[run_id] = pid
        return pid

    def _reap(self) -> None:
        for run_id, pid in list(self._alive.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._alive[run_id]
                self._ended[run_id] = os.waitstatus_to_exitcode(status)
                while len(self._ended) > FINISHED_KEPT_MAX:
                    self._ended.popitem(last=False)

    def _stop_children(self) -> None:
        """Interrupt the runs, so that each can write down that it ended; kill those that do not end in time."""
        for pid in self._alive.values():
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._alive and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.05)
        for pid in self._alive.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _be_a_run(run_id: str, parent: int, execute: Callable[[str], int]) -> NoReturn:
    """The child's whole life. Never returns."""
    code = 1
    try:
        die_with_parent(parent, signal.SIGKILL)
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


def execute_run(run_id: str) -> int:
    """Carry the run out in this process; its exit code."""
    setup_interrupt_handlers()
    with capture_interrupts(), dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        if run is None or run.job_code_origin is None:
            print(f"run {run_id} is gone or has no code; nothing was executed")
            return 1
        for _ in core_execute_run(recon_job_from_origin(run.job_code_origin), run, instance, inject_env_vars=False):
            pass
    return 0


def prepare_instance() -> None:
    """Create Dagster's tables once, before several processes would try at the same moment."""
    with dg.DagsterInstance.get() as instance:
        instance.get_runs(limit=1)
        instance.get_dynamic_partitions("releases")
        instance.all_instigator_state()


def serve_until_signal(runner: Runner) -> None:
    """Serve, and stop on SIGTERM or SIGINT."""
    for which in STOP_SIGNALS:
        signal.signal(which, lambda *_: setattr(runner, "stopping", True))
    print(f"runner {os.getpid()} is ready", flush=True)
    runner.serve()


def main(socket_path: str) -> None:
    """Import, listen, serve."""
    prepare_instance()
    for module in PRELOADED:
        importlib.import_module(module)
    if threading.active_count() > 1:
        raise RuntimeError(f"the runner has threads and must not fork: {threading.enumerate()}")
    gc.collect()
    gc.freeze()
    Path(socket_path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(socket_path)
        os.chmod(socket_path, 0o600)
        listener.listen(128)
        serve_until_signal(Runner(listener, execute_run))


if __name__ == "__main__":
    main(sys.argv[1])
