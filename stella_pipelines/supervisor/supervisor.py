"""`stella up`: start the processes of one installation in order, say when they are ready, keep them alive, stop them cleanly.

runner + code server → web server + daemon + submitter. The web UI has no login yet, so it listens on loopback unless told otherwise.
This process imports no Dagster and runs no product code: it can always be stopped.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from stella_pipelines.core.settings import Settings
from stella_pipelines.jobs.warm.forking import this_system, why_not
from stella_pipelines.supervisor.errors import AddressInUse, AlreadyUp, NotReadyInTime, ProcessDied
from stella_pipelines.supervisor.home import CODE_LOCATION, DagsterHome, dagster_home, process_environment
from stella_pipelines.supervisor.occupancy import occupied
from stella_pipelines.supervisor.process import SupervisedProcess
from stella_pipelines.supervisor.runnerless import SOCKET_VARIABLE, create_tables, use_the_stock_launcher

log = logging.getLogger("stella.supervisor")

READY_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 12.0
POLL_S: Final = 0.1
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
LOCATION_QUERY: Final = (
    "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename ... on PythonError { message } } } } } }"
)


def run(settings: Settings, host: str, port: int, on_ready: Callable[[str], None], stop: threading.Event | None = None) -> None:
    """Run the installation until `stop` is set; without one, until SIGINT or SIGTERM. Port 0 picks a free one.

    `on_ready` gets the address of the UI. Everything that was started is gone when this returns or raises.
    """
    if host not in LOOPBACK:
        log.warning("The web UI has no login yet, and %s is not a loopback address: whoever reaches it may deploy.", host)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(settings.home), dagster_home(settings) as home, _stopped_by(stop) as stopping:
        port = _usable_port(host, port)
        with occupied(settings, stopping) as occupancy:
            _run(settings, home, host, port, on_ready, stopping)
        if occupancy is not None:
            occupancy.check()


def _run(settings: Settings, home: DagsterHome, host: str, port: int, on_ready: Callable[[str], None], stopping: threading.Event) -> None:
    environ = process_environment(settings, home, os.environ)
    reason = why_not(this_system(), environ)
    if reason is not None:
        use_the_stock_launcher(reason, environ, home.logs)
        create_tables(environ, home.logs, stopping)
    processes = _processes(environ, home, host, port)
    try:
        _start_all(processes, home, host, port, on_ready, stopping)
        _watch(processes, stopping)
    finally:
        _stop_all(processes)


def _processes(environ: Mapping[str, str], home: DagsterHome, host: str, port: int) -> dict[str, SupervisedProcess]:
    python, workspace = sys.executable, str(home.workspace)
    module = ("--module-name", "stella_pipelines.definitions", "--attribute", "defs", "--location-name", CODE_LOCATION)
    commands = {
        "runner": (python, "-m", "stella_pipelines.jobs.warm.runner", str(home.runner_socket)),
        "code-server": (python, "-m", "dagster", "code-server", "start", "--socket", str(home.code_socket), "--use-python-environment-entry-point", *module),
        "webserver": (python, "-m", "dagster_webserver", "--host", host, "--port", str(port), "--workspace", workspace),
        "daemon": (python, "-m", "dagster._daemon", "run", "--log-level", "warning", "--workspace", workspace),
        "submitter": (python, "-m", "stella_pipelines.supervisor.submitter", str(home.code_socket), _url(host, port)),
    }
    wanted = {name: command for name, command in commands.items() if name != "runner" or SOCKET_VARIABLE in environ}
    return {name: SupervisedProcess(name, command, environ, home.logs) for name, command in wanted.items()}


def _start_all(
    processes: dict[str, SupervisedProcess], home: DagsterHome, host: str, port: int, on_ready: Callable[[str], None], stopping: threading.Event
) -> None:
    # The runner is alone at first: it creates Dagster's tables, which SQLite lets only one process do at a time.
    stages: tuple[tuple[tuple[str, ...], Callable[[], bool]], ...] = (
        (("runner",), lambda: _listens(home.runner_socket)),
        (("code-server",), lambda: _listens(home.code_socket)),
        (("webserver", "daemon", "submitter"), lambda: _location_loaded(_url(host, port))),
    )
    for names, ready in stages:
        wanted = [processes[name] for name in names if name in processes]
        for process in wanted:
            process.start()
        if wanted and not _wait_until(ready, wanted, stopping):
            return
    on_ready(_url(host, port))


def _wait_until(ready: Callable[[], bool], processes: Sequence[SupervisedProcess], stopping: threading.Event) -> bool:
    """Wait for `ready`; False when the installation shall stop before that."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not stopping.is_set():
        if ready():
            return True
        dead = next((process for process in processes if process.exit_code is not None), None)
        if dead is not None:
            raise ProcessDied(
                f"The {dead.name} ended with {dead.exit_code} before it was ready. Its last words:\n{dead.log_tail()}\n",
                next_step=f"The whole log is {dead.log_path}.",
            )
        if time.monotonic() > deadline:
            raise NotReadyInTime(
                f"The {' and the '.join(process.name for process in processes)} were not ready after {READY_TIMEOUT_S:.0f} s.",
                next_step=f"Read the logs in {processes[0].log_path.parent}.",
            )
        stopping.wait(POLL_S)
    return False


def _watch(processes: dict[str, SupervisedProcess], stopping: threading.Event) -> None:
    while not stopping.wait(POLL_S * 5):
        for process in processes.values():
            if process.keep_alive(time.monotonic()):
                log.warning("The %s had ended and was started again (restart %d). Its log: %s", process.name, process.restarts, process.log_path)


def _stop_all(processes: dict[str, SupervisedProcess]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for process in processes.values():
        process.ask_to_stop()
    for process in processes.values():
        process.finish(deadline)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(path)) == 0


def _location_loaded(url: str) -> bool:
    """Whether the web server answers and has our code. A location that cannot load is a failure of the code server, which says so itself."""
    try:
        answer = httpx.post(f"{url}/graphql", json={"query": LOCATION_QUERY}, timeout=10.0, trust_env=False)
        entries = answer.json()["data"]["workspaceOrError"]["locationEntries"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False
    return any((entry["locationOrLoadError"] or {}).get("__typename") == "RepositoryLocation" for entry in entries)


def _url(host: str, port: int) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  # compared, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _usable_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AddressInUse(f"The web UI cannot listen on {host}:{port}: {error.strerror}.", next_step="Choose another one with --port.") from error
        return int(probe.getsockname()[1])


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(f"An installation is already up in {home}.", next_step="Stop it first, or use another STELLA_HOME.") from error
        yield


@contextmanager
def _stopped_by(stop: threading.Event | None) -> Iterator[threading.Event]:
    """The event that ends the installation: the caller's, or one that SIGINT and SIGTERM set."""
    if stop is not None:
        yield stop
        return
    event = threading.Event()
    previous = {which: signal.signal(which, lambda *_: event.set()) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for which, handler in previous.items():
            signal.signal(which, handler)
