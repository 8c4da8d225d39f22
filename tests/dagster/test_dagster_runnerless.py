"""Where runs cannot be forked: `stella up` says so once, starts no runner, and Dagster's own launcher carries the runs out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.tags import GRPC_INFO_TAG

from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.jobs.warm.forking import SWITCH_VARIABLE
from stella_pipelines.jobs.warm.launcher import RUNNER_TAG
from stella_pipelines.supervisor.errors import ProcessDied
from stella_pipelines.supervisor.runnerless import create_tables
from stella_pipelines.supervisor.supervisor import run
from tests.support.installation import ALICE, add_release, fast_home, shop_estate

TIMEOUT_S = 240.0


@contextmanager
def up(settings: Settings) -> Iterator[None]:
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(settings, "127.0.0.1", 0, lambda _: ready.set(), stop))
    thread.start()
    try:
        assert ready.wait(TIMEOUT_S)
        yield
    finally:
        stop.set()
        thread.join()


def ended_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = next((one for one in instance.get_runs() if one.is_finished), None)
        if found is not None:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_without_a_runner_the_stock_launcher_is_used_and_that_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(SWITCH_VARIABLE, "off")
    with fast_home() as home:
        settings = Settings(home=home, database_url=f"sqlite:///{home / 'stella.db'}")
        home.mkdir()
        with open_control_plane(settings) as plane, caplog.at_level(logging.WARNING, "stella.supervisor"), up(settings):
            estate = shop_estate()
            plane.environments.apply(ALICE, estate, source_digest=estate.content_digest())
            digest = add_release(plane).digest
            assert digest is not None
            plane.promotions.request(ALICE, environment="dev", release_digest=digest, reason="test")
            with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home / "dagster"))) as instance:
                first = ended_run(instance)
        assert (first.status, GRPC_INFO_TAG in first.tags, RUNNER_TAG in first.tags) == (dg.DagsterRunStatus.SUCCESS, True, False)
        said = [record.getMessage() for record in caplog.records if SWITCH_VARIABLE in record.getMessage()]
        assert len(said) == 1
        assert "Dagster's own launcher" in said[0]
        assert said[0] in (home / "logs" / "runner.log").read_text()


def test_tables_that_cannot_be_created_are_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ProcessDied, match="DAGSTER_HOME"):
        create_tables({"PATH": "/usr/bin"}, tmp_path, threading.Event())
