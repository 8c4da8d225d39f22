"""A run that is terminated, canceled by force or failed from outside, in each of its states: no effect comes after it, and the mark stays."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import pytest
from dagster import DagsterEventType, DagsterRunStatus
from dagster._core.execution import api
from dagster._core.launcher.base import WorkerStatus
from dagster._daemon.monitoring.run_monitoring import monitor_starting_run

from stella_pipelines.jobs.warm.execution import carry_out
from tests.support.installation import fast_home
from tests.support.waiting import eventually
from tests.support.waiting_jobs import FOLDER_VARIABLE, stubborn
from tests.support.warm_instance import WarmInstance, warm_instance
from tests.support.warm_runner import alive

BY_FORCE = "MARK_AS_CANCELED_IMMEDIATELY"
SUCCESS = "TerminateRunSuccess"


@pytest.fixture(scope="module")
def shared() -> Iterator[WarmInstance]:
    """For the tests that leave its runner as it was."""
    with fast_home() as home, warm_instance(home) as made:
        yield made


@pytest.fixture
def warm(request: pytest.FixtureRequest) -> Iterator[WarmInstance]:
    """The shared one with an empty folder; or one of its own, as the test asks for."""
    own = getattr(request, "param", None)
    if own is None:
        made: WarmInstance = request.getfixturevalue("shared")
        made.forget()
        yield made
        return
    with fast_home() as home, warm_instance(home, **own) as made:
        yield made


its_own = pytest.mark.parametrize("warm", [{}], indirect=True)
one_at_once = pytest.mark.parametrize("warm", [{"children_max": 1}], indirect=True)


def test_what_a_run_prints_is_in_its_compute_log(warm: WarmInstance) -> None:
    run_id = warm.began()
    warm.let_go()
    eventually(lambda: warm.status(run_id) == "SUCCESS")
    (entry,) = warm.instance.all_logs(run_id, of_type=DagsterEventType.LOGS_CAPTURED)
    assert entry.dagster_event is not None
    where = entry.dagster_event.logs_captured_data
    found = warm.instance.compute_log_manager.get_log_data([run_id, "compute_logs", where.file_key])
    assert b"words on stdout" in (found.stdout or b"")
    assert b"words on stderr" in (found.stderr or b"")


@pytest.mark.parametrize("policy", ["SAFE_TERMINATE", BY_FORCE])
def test_a_run_in_dagsters_queue_never_starts(warm: WarmInstance, policy: str) -> None:
    run_id = warm.create(status=DagsterRunStatus.QUEUED)
    assert warm.terminate(run_id, policy)["__typename"] == SUCCESS
    assert warm.status(run_id) == "CANCELED"
    warm.launch(run_id)  # the daemon had taken it out of the queue in the same moment
    warm.let_go()
    eventually(lambda: warm.has_ended(run_id) and warm.is_gone(run_id))
    assert (warm.status(run_id), warm.did(run_id, "began")) == ("CANCELED", False)


@one_at_once
def test_a_run_in_the_runners_queue_is_canceled_and_never_starts(warm: WarmInstance) -> None:
    first, waiting = warm.began(), warm.launch(warm.create())
    assert "queued behind 1 runs" in (warm.launcher.get_run_worker_debug_info(warm.run(waiting)) or "")
    assert warm.launcher.check_run_worker_health(warm.run(waiting)).status is WorkerStatus.RUNNING
    assert "STARTING" in warm.terminate(waiting)["message"], "Dagster lets nobody terminate what is starting, except by force"
    assert warm.launcher.terminate(waiting)
    assert warm.status(waiting) == "CANCELED"
    warm.let_go()
    eventually(lambda: warm.status(first) == "SUCCESS")
    third = warm.launch(warm.create())
    eventually(lambda: warm.status(third) == "SUCCESS")
    assert (warm.status(waiting), warm.did(waiting, "began")) == ("CANCELED", False)


@one_at_once
def test_a_run_in_the_runners_queue_that_is_canceled_by_force_stays_canceled(warm: WarmInstance) -> None:
    """Nobody tells the launcher; the process finds out when its turn comes."""
    first, waiting = warm.began(), warm.launch(warm.create())
    assert warm.terminate(waiting, BY_FORCE)["__typename"] == SUCCESS
    warm.let_go()
    eventually(lambda: warm.status(first) == "SUCCESS")
    last = warm.launch(warm.create())
    eventually(lambda: warm.status(last) == "SUCCESS")
    assert (warm.status(waiting), warm.did(waiting, "began")) == ("CANCELED", False)


@pytest.mark.parametrize("warm", [{"children_max": 1, "monitoring": {"start_timeout_seconds": 2}}], indirect=True)
def test_a_run_that_monitoring_gives_up_while_it_waits_never_starts(warm: WarmInstance) -> None:
    first, waiting = warm.began(), warm.launch(warm.create())
    record = warm.instance.get_run_record_by_id(waiting)
    assert record is not None

    def given_up() -> bool:
        monitor_starting_run(warm.instance, record, logging.getLogger("monitoring"))
        return warm.has_ended(waiting)

    eventually(given_up)
    words = " ".join(entry.user_message + entry.message for entry in warm.instance.all_logs(waiting))
    assert "its turn had not come in time" in words, "the log says why"
    warm.let_go()
    eventually(lambda: warm.status(first) == "SUCCESS")
    last = warm.launch(warm.create())
    eventually(lambda: warm.status(last) == "SUCCESS")
    assert (warm.status(waiting), warm.did(waiting, "began")) == ("FAILURE", False)


@pytest.mark.parametrize("how", ["failed", "canceled by force"])
def test_a_run_that_is_marked_while_its_process_starts_does_not_come_back_to_life(warm: WarmInstance, how: str) -> None:
    (warm.folder / "hold").touch()
    run_id = warm.launch(warm.create())
    if how == "failed":
        warm.instance.report_run_failed(warm.run(run_id), "Run timed out due to taking longer than 60 seconds to start.")
    else:
        assert warm.terminate(run_id, BY_FORCE)["__typename"] == SUCCESS
    marked = warm.status(run_id)
    (warm.folder / "hold").unlink()
    warm.let_go()
    eventually(lambda: warm.is_gone(run_id))
    assert (warm.status(run_id), warm.did(run_id, "began")) == (marked, False)


def test_a_mark_between_dagsters_last_look_and_the_start_is_not_lost(warm: WarmInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster looks whether the run has ended, works out the plan, and writes that it has started, over whatever was written meanwhile."""
    run_id, plan_of = warm.create(), api._get_execution_plan_from_run
    monkeypatch.setenv(FOLDER_VARIABLE, str(warm.folder))
    warm.let_go()  # a step that begins all the same is not to wait in this process

    def marked_meanwhile(*of: object) -> object:
        warm.instance.report_run_failed(warm.run(run_id), "marked")
        return plan_of(*of)  # type: ignore[arg-type]  # whatever Dagster gives it

    monkeypatch.setattr(api, "_get_execution_plan_from_run", marked_meanwhile)
    assert carry_out(warm.instance, warm.run(run_id)) == 1
    assert (warm.status(run_id), warm.did(run_id, "began")) == ("FAILURE", False)


@pytest.mark.parametrize("policy", ["SAFE_TERMINATE", BY_FORCE])
def test_a_run_at_work_is_interrupted(warm: WarmInstance, policy: str) -> None:
    run_id = warm.began()
    assert warm.terminate(run_id, policy)["__typename"] == SUCCESS
    eventually(lambda: warm.status(run_id) == "CANCELED" and warm.is_gone(run_id))
    warm.let_go()
    assert not warm.did(run_id, "effect")
    assert "could not be terminated" in warm.terminate(run_id)["message"], "a run that has ended stays as it is"
    assert warm.status(run_id) == "CANCELED"


def test_a_run_that_does_not_end_when_it_is_asked_to_is_killed(warm: WarmInstance) -> None:
    run_id = warm.began(stubborn)
    assert warm.terminate(run_id)["__typename"] == SUCCESS
    eventually(lambda: warm.is_gone(run_id))
    assert warm.status(run_id) == "CANCELING", "run monitoring writes CANCELED when the time for it is over"
    warm.let_go()
    assert not warm.did(run_id, "effect")


@pytest.mark.parametrize("how", ["canceled by force", "failed"])
def test_a_process_whose_run_was_marked_from_outside_ends_whatever_it_does(warm: WarmInstance, how: str) -> None:
    """Dagster tells neither launcher nor process when it fails a run, or when it is canceled by force a second time."""
    run_id = warm.began(stubborn)
    if how == "failed":
        warm.instance.report_run_failed(warm.run(run_id), "marked")
    else:
        warm.instance.report_run_canceling(warm.run(run_id))
        assert warm.terminate(run_id, BY_FORCE)["__typename"] == SUCCESS
    marked = warm.status(run_id)
    eventually(lambda: warm.is_gone(run_id))
    warm.let_go()
    assert (warm.status(run_id), warm.did(run_id, "effect")) == (marked, False)


def test_a_run_that_ends_well_after_it_was_marked_as_failed_stays_failed(warm: WarmInstance) -> None:
    run_id = warm.began()
    warm.instance.report_run_failed(warm.run(run_id), "marked")
    warm.let_go()
    eventually(lambda: warm.is_gone(run_id))
    assert warm.status(run_id) == "FAILURE"


def test_a_run_is_interrupted_also_when_the_runner_cannot_be_asked(warm: WarmInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = warm.began()
    monkeypatch.setattr(warm.launcher, "_socket_path", "/nowhere.sock")
    assert warm.launcher.check_run_worker_health(warm.run(run_id)).status is WorkerStatus.RUNNING
    assert warm.terminate(run_id)["__typename"] == SUCCESS
    eventually(lambda: warm.status(run_id) == "CANCELED")


def test_nobody_resumes_a_run(warm: WarmInstance) -> None:
    """Its steps would be carried out again; a new attempt goes on from the journal instead."""
    assert warm.launcher.supports_resume_run is False
    assert warm.instance.run_monitoring_max_resume_run_attempts == 0


@its_own
def test_a_run_dies_with_its_runner_and_is_found_dead(warm: WarmInstance) -> None:
    run_id = warm.began()
    warm.runner.kill()
    warm.runner.wait()
    eventually(lambda: warm.is_gone(run_id))
    assert warm.launcher.check_run_worker_health(warm.run(run_id)).status is WorkerStatus.NOT_FOUND


def test_a_runner_whose_socket_is_gone_still_has_its_runs(warm: WarmInstance) -> None:
    run_id = warm.began()
    os.kill(warm.runner.pid, signal.SIGSTOP)  # so that it does not make it again at once
    warm.socket_path.unlink()
    try:
        assert warm.launcher.check_run_worker_health(warm.run(run_id)).status is WorkerStatus.RUNNING
    finally:
        os.kill(warm.runner.pid, signal.SIGCONT)
    assert alive(warm.process_of(run_id))
    assert warm.launcher.terminate(run_id)
