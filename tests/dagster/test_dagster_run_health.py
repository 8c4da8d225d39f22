"""What the launcher says about a run's process: never that it runs when nobody can have it, and never that it is gone while it lives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionResult
from dagster._serdes import serialize_value

from stella_pipelines.jobs.submission import submit_pending
from stella_pipelines.jobs.warm import watching
from stella_pipelines.jobs.warm.launcher import RUNNER_TAG, WarmRunLauncher
from stella_pipelines.jobs.warm.orders import Standing
from stella_pipelines.jobs.warm.presence import Place, ProcessName, Whereabouts, here, is_alive, named
from stella_pipelines.jobs.warm.watching import SIGN_OF_LIFE, SIGN_OF_LIFE_EVERY_S
from stella_pipelines.jobs.warm.witnesses import SILENT_FOR_S_MAX, WHEREABOUTS_TAG, Seen, Witnessed, judged, process_lives, seen_from_here
from tests.support.installation import SmallInstallation, fast_home, shop_estate, small_installation

NOWHERE = json.dumps({"host": "localhost", "socket": "/nowhere.sock"})


@pytest.fixture
def stella() -> Iterator[SmallInstallation]:
    with fast_home() as home, small_installation(home) as installation:
        installation.apply(shop_estate())
        yield installation


@pytest.fixture
def launcher(stella: SmallInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WarmRunLauncher:
    """The installation's own launcher; where its runner should listen, nobody does."""
    found = stella.instance.run_launcher
    assert isinstance(found, WarmRunLauncher)
    monkeypatch.setattr(found, "_socket_path", str(tmp_path / "runner.sock"))
    return found


def started(stella: SmallInstallation, tags: dict[str, str], pid: int | None = None) -> dg.DagsterRun:
    """A run that was launched, and whose process (if any) has said which one it is."""
    stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    stella.instance.add_run_tags(run_id, tags)
    run = stella.instance.get_run_by_id(run_id)
    assert run is not None
    if pid is not None:
        stella.instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    return run


def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def answering(launcher: WarmRunLauncher, monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
    class CodeServer:
        def can_cancel_execution(self, *_: object, **__: object) -> str:
            return serialize_value(CanCancelExecutionResult(can_cancel=has_it))

    monkeypatch.setattr(launcher, "_get_grpc_client_for_termination", lambda _: CodeServer())


def test_a_run_that_nobody_started_is_not_found(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    assert launcher.check_run_worker_health(started(stella, {})).status is WorkerStatus.NOT_FOUND


def test_a_run_of_a_code_server_that_is_away_is_unknown_unless_its_process_can_be_seen(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    run = started(stella, {GRPC_INFO_TAG: NOWHERE})
    assert launcher.check_run_worker_health(run).status is WorkerStatus.UNKNOWN
    stella.instance.report_engine_event("Started process for run", run, EngineEventData.in_process(os.getpid()))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_run_whose_process_is_gone_is_not_found(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    health = launcher.check_run_worker_health(started(stella, {GRPC_INFO_TAG: NOWHERE}, gone()))
    assert (health.status, "is gone" in (health.msg or "")) == (WorkerStatus.NOT_FOUND, True)


def test_a_process_on_another_machine_is_not_looked_for_here(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    elsewhere = json.dumps({"host": "code.invalid", "port": 4000})
    answer = launcher.check_run_worker_health(started(stella, {GRPC_INFO_TAG: elsewhere}, os.getpid()))
    assert answer.status is WorkerStatus.UNKNOWN


@pytest.mark.parametrize(("has_it", "expected"), [(True, WorkerStatus.RUNNING), (False, WorkerStatus.NOT_FOUND)])
def test_a_code_server_that_answers_is_believed(
    stella: SmallInstallation, launcher: WarmRunLauncher, monkeypatch: pytest.MonkeyPatch, has_it: bool, expected: WorkerStatus
) -> None:
    answering(launcher, monkeypatch, has_it)
    assert launcher.check_run_worker_health(started(stella, {GRPC_INFO_TAG: NOWHERE})).status is expected


def test_a_run_of_a_code_server_that_was_reloaded_still_lives(stella: SmallInstallation, launcher: WarmRunLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new server does not know it; the old one carries it to its end."""
    answering(launcher, monkeypatch, has_it=False)
    assert launcher.check_run_worker_health(started(stella, {GRPC_INFO_TAG: NOWHERE}, os.getpid())).status is WorkerStatus.RUNNING


def test_a_run_of_a_runner_that_is_away_died_with_it(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    assert launcher.check_run_worker_health(started(stella, {RUNNER_TAG: "1"})).status is WorkerStatus.NOT_FOUND


def test_a_runner_that_does_not_answer_proves_nothing(
    stella: SmallInstallation, launcher: WarmRunLauncher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "mute.sock")
    monkeypatch.setattr(launcher, "_socket_path", path)
    run = started(stella, {RUNNER_TAG: "1"})
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen()
        hanging_up = threading.Thread(target=_hang_up_on_the_next, args=[mute])
        hanging_up.start()
        assert launcher.check_run_worker_health(run).status is WorkerStatus.UNKNOWN
        hanging_up.join()


ELSEWHERE = Place(host="other.example", boot="other", namespace="other")
GONE = ProcessName(pid=2**22 - 1, began=1)


def written(place: Place | None = None, runner: ProcessName | None = None, run: ProcessName | None = None) -> dict[str, str]:
    """The tags of a run of a runner; by default everything is this very process."""
    where = Whereabouts(place=place or here(), runner=runner or named(os.getpid()), run=run)
    return {RUNNER_TAG: "1", WHEREABOUTS_TAG: where.model_dump_json()}


def test_a_run_whose_process_lives_is_not_dead_because_its_runner_is_away(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    assert launcher.check_run_worker_health(started(stella, written(run=named(os.getpid())))).status is WorkerStatus.RUNNING


def test_a_run_whose_process_is_gone_is_dead_when_its_runner_is_away(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    assert launcher.check_run_worker_health(started(stella, written(run=GONE))).status is WorkerStatus.NOT_FOUND


def test_a_run_that_waited_for_its_turn_lives_as_long_as_its_runner(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    run = started(stella, written())
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    stella.instance.add_run_tags(run.run_id, written(runner=GONE))
    again = stella.instance.get_run_by_id(run.run_id)
    assert again is not None
    assert launcher.check_run_worker_health(again).status is WorkerStatus.NOT_FOUND


def test_a_run_on_another_machine_lives_as_long_as_its_log_grows(stella: SmallInstallation, launcher: WarmRunLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster fails what is UNKNOWN, so that would be no answer for a run that works where nobody can look."""
    run = started(stella, written(place=ELSEWHERE, run=GONE))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SILENT_FOR_S_MAX + 60)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.NOT_FOUND
    stella.instance.report_engine_event(SIGN_OF_LIFE, run)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_process_that_works_in_silence_writes_a_sign_of_life(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(watching, "SIGN_OF_LIFE_EVERY_S", 0.0)
    run, deadline = started(stella, {}), time.monotonic() + 20
    with watching.watched(stella.instance, run):
        while not any(entry.message == SIGN_OF_LIFE for entry in stella.instance.all_logs(run.run_id)):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_process_that_ended_well_without_an_end_of_its_run_has_failed(
    stella: SmallInstallation, launcher: WarmRunLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster would leave a SUCCESS alone, and the run would stay STARTED for ever."""
    run = started(stella, written(run=GONE))
    monkeypatch.setattr(launcher, "_standing", lambda _: ("known", Standing(status="SUCCESS", says="the run's process ended with 0")))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.FAILED
    stella.instance.report_run_failed(run)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.SUCCESS


def test_a_process_that_works_in_silence_is_heard_of_often_enough() -> None:
    assert 2 * SIGN_OF_LIFE_EVERY_S < SILENT_FOR_S_MAX


def test_a_machine_that_was_started_again_has_none_of_its_runs(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    run = started(stella, written(place=here().model_copy(update={"boot": "the one before"}), run=named(os.getpid())))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.NOT_FOUND


def test_another_namespace_of_process_ids_is_another_place(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    """A container's process 7 is not ours."""
    run = started(stella, written(place=here().model_copy(update={"namespace": "pid:[1]"}), run=GONE))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_run_whose_launcher_died_before_it_wrote_is_found_by_the_process_it_named(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    assert launcher.check_run_worker_health(started(stella, {}, os.getpid())).status is WorkerStatus.RUNNING
    assert process_lives(os.getpid(), time.time())


def test_whereabouts_that_cannot_be_read_are_none(stella: SmallInstallation, launcher: WarmRunLauncher) -> None:
    run = started(stella, {RUNNER_TAG: "1", WHEREABOUTS_TAG: '{"of": "another version"}'})
    assert launcher.check_run_worker_health(run).status is WorkerStatus.NOT_FOUND


def test_a_run_that_its_runner_does_not_know_is_gone_unless_its_process_lives() -> None:
    known = {"runner": "unknown", "here": here(), "runner_lives": True, "named_pid_lives": None, "silent_for_s": 0.0}
    queued = Whereabouts(place=here(), runner=named(os.getpid()), run=None)
    begun = queued.model_copy(update={"run": GONE})
    assert seen_from_here(Seen(whereabouts=queued, run_lives=None, **known)).status is WorkerStatus.NOT_FOUND
    assert seen_from_here(Seen(whereabouts=begun, run_lives=False, **known)).status is WorkerStatus.NOT_FOUND
    assert seen_from_here(Seen(whereabouts=begun, run_lives=True, **known)).status is WorkerStatus.RUNNING


def test_a_process_is_known_by_when_it_began() -> None:
    name = named(os.getpid())
    assert is_alive(name)
    assert not is_alive(name.model_copy(update={"began": name.began - 1}))


def test_what_no_witness_saw_is_never_said_to_run() -> None:
    for has_it in (None, False):
        for pid, lives in ((None, None), (7, None), (7, False)):
            assert judged(Witnessed(code_server_has_it=has_it, pid=pid, pid_lives=lives)).status in (WorkerStatus.NOT_FOUND, WorkerStatus.UNKNOWN)


def test_a_process_that_nobody_waited_for_does_not_live() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read() == b""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not process_lives(process.pid, time.time())
    process.wait()
    process.stdout.close()
    assert process_lives(os.getpid(), time.time())
    assert not process_lives(2**40, time.time())


def test_a_process_that_got_the_id_of_an_older_one_is_not_the_run() -> None:
    """After a restart of the machine the small numbers are given out again."""
    assert not process_lives(os.getpid(), time.time() - 86_400)


def _hang_up_on_the_next(listener: socket.socket) -> None:
    caller, _ = listener.accept()
    caller.close()
