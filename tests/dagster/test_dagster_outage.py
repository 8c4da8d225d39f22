"""The database goes away and comes back, crashed or frozen, while the submitter and the sensors work: they wait, go on, and do nothing twice."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from dagster._core.errors import DagsterResourceFunctionError

from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE
from stella_pipelines.environments.model import Component, Environment, Estate
from stella_pipelines.jobs.submission import run_id_of
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import DatabaseBusy, DatabaseUnreachable
from stella_pipelines.supervisor.home import DagsterHome, process_environment
from stella_pipelines.supervisor.process import SupervisedProcess
from tests.support.dagster_postgres import prepare_dagster
from tests.support.installation import NESTED_RESOURCES, SmallInstallation, fast_home, small_installation
from tests.support.postgres import PostgresCluster

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.filterwarnings(NESTED_RESOURCES)]
MOMENTS = ("before", "during", "after")
COMPONENTS = (Component(name="web", repository="registry.test/shop/web"),)
OUTAGE_S = 3.0
BACK_WITHIN_S = 30.0


@pytest.fixture
def stella(cluster: PostgresCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallInstallation]:
    url = cluster.url(cluster.create())
    Store.open(url).close()
    prepare_dagster(url)
    with fast_home() as home:
        monkeypatch.setenv(HOME_VARIABLE, str(home))
        monkeypatch.setenv(DATABASE_VARIABLE, url)
        with small_installation(home, database_url=url) as installation:
            installation.apply(Estate(components=COMPONENTS, environments=tuple(Environment(name=name, gates="none") for name in MOMENTS)))
            yield installation


@pytest.fixture
def submitter(stella: SmallInstallation, tmp_path: Path) -> Iterator[SupervisedProcess]:
    """The submitter as `stella up` runs it. No web server and no code server is there, and it needs neither to submit."""
    home = DagsterHome(stella.plane.settings.home / "dagster", tmp_path, tmp_path / "code.sock", tmp_path / "runner.sock")
    command = (sys.executable, "-m", "stella_pipelines.supervisor.submitter", str(home.code_socket), "http://127.0.0.1:1")
    process = SupervisedProcess("submitter", command, process_environment(stella.plane.settings, home, os.environ), tmp_path)
    process.start()
    yield process
    process.finish(time.monotonic())


def eventually(what: Callable[[], bool], process: SupervisedProcess) -> None:
    """Wait, keeping the process alive as the supervisor does."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while not what():
        process.keep_alive(time.monotonic())
        assert time.monotonic() < deadline, process.log_tail()
        time.sleep(0.1)


def run_ids(stella: SmallInstallation) -> list[str]:
    return sorted(run.run_id for run in stella.runs())


def tick_until(stella: SmallInstallation, stopping: threading.Event) -> list[bool]:
    """Tick the sensors as the daemon does, which logs a tick that fails and ticks again; how each went."""
    went = []
    while not stopping.wait(0.2):
        for sensor in ("promotions", "releases"):
            try:
                stella.tick(sensor)
                went.append(True)
            except DagsterResourceFunctionError as error:  # a tick opens the store anew
                if not isinstance(error.__cause__, DatabaseUnreachable | DatabaseBusy):
                    raise
                went.append(False)
            except (DatabaseUnreachable, sa.exc.OperationalError):
                went.append(False)
    return went


@pytest.mark.parametrize("how", ["crash", "freeze"])
def test_what_was_wanted_before_during_and_after_an_outage_becomes_one_run_each(
    stella: SmallInstallation, submitter: SupervisedProcess, cluster: PostgresCluster, how: str
) -> None:
    stopping, wanted = threading.Event(), [run_id_of("promotion", stella.request("before", "1.0.0").id, 1)]
    eventually(lambda: run_ids(stella) == wanted, submitter)
    with ThreadPoolExecutor() as others:
        ticking = others.submit(tick_until, stella, stopping)
        cluster.crash() if how == "crash" else cluster.freeze(True)
        asked = others.submit(stella.request, "during", "1.0.1")  # somebody asks in the middle of it
        submitter_lived = submitter_waits(submitter, OUTAGE_S)
        assert not asked.done()
        cluster.start() if how == "crash" else cluster.freeze(False)

        wanted.append(run_id_of("promotion", asked.result(BACK_WITHIN_S).id, 1))
        wanted.append(run_id_of("promotion", stella.request("after", "1.0.2").id, 1))
        eventually(lambda: run_ids(stella) == sorted(wanted), submitter)
        stopping.set()
        assert ticking.result(BACK_WITHIN_S)[-1], "the sensors work again"
    assert submitter_lived
    assert submitter.restarts <= 1
    assert run_ids(stella) == sorted(wanted)


def submitter_waits(process: SupervisedProcess, seconds: float) -> bool:
    """Let the outage last; whether the process was never dead for longer than a restart takes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.keep_alive(time.monotonic())
        time.sleep(0.1)
    return process.restarts <= 1
