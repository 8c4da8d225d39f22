"""The warm runner: one child per run, whatever is asked twice, killed or left alone; so many at once, and the others in their order."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stella_pipelines.core.settings import InvalidSetting
from stella_pipelines.jobs.warm import dispatching
from stella_pipelines.jobs.warm.orders import Order, RunnerAway, ask_standing, ask_to_launch, is_own_account
from stella_pipelines.jobs.warm.presence import here, named
from stella_pipelines.jobs.warm.runner import CHILDREN_MAX, CHILDREN_VARIABLE, alive_max
from tests.support.installation import fast_home
from tests.support.waiting import eventually
from tests.support.warm_runner import WarmRunner, alive


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Iterator[WarmRunner]:
    """With the environment that the test asks for."""
    with fast_home() as home:
        home.mkdir()
        running = WarmRunner(home, getattr(request, "param", None))
        yield running
        running.close()


two_at_once = pytest.mark.parametrize("runner", [{CHILDREN_VARIABLE: "2"}], indirect=True)


def test_a_run_is_forked_and_its_end_is_known(runner: WarmRunner) -> None:
    assert runner.status("good") == "NOT_FOUND"
    launched = runner.launch("good")
    assert (launched.place, launched.runner) == (here(), named(runner.process.pid))
    eventually(lambda: runner.status("good") == "SUCCESS")
    runner.launch("bad")
    eventually(lambda: runner.status("bad") == "FAILED")
    assert runner.ran() == ["good", "bad"]


def test_asked_twice_a_run_is_started_once(runner: WarmRunner) -> None:
    first = runner.launch("slow")
    assert first.run is not None
    assert runner.launch("slow") == first
    runner.launch("good")
    eventually(lambda: runner.status("good") == "SUCCESS")
    again = runner.launch("good")
    assert (again.run, again.queued_behind, again.refused) == (None, None, None)
    assert runner.ran() == ["good"]


def test_a_run_that_is_killed_counts_as_failed(runner: WarmRunner) -> None:
    pid = runner.pid("slow")
    assert runner.status("slow") == "RUNNING"
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: runner.status("slow") == "FAILED")
    assert "-9" in runner.standing("slow").says


def test_a_run_can_be_terminated(runner: WarmRunner) -> None:
    assert runner.terminate("slow").was == "unknown"
    runner.launch("slow")
    assert runner.terminate("slow").was == "running"
    eventually(lambda: runner.status("slow") == "FAILED")
    assert runner.terminate("slow").was == "ended"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_run_outlives_the_runner(runner: WarmRunner, how: signal.Signals) -> None:
    pids = [runner.pid(f"slow {number}") for number in range(3)]
    assert all(alive(pid) for pid in pids)
    runner.process.send_signal(how)
    runner.process.wait(10)
    eventually(lambda: not any(alive(pid) for pid in pids))


@two_at_once
def test_so_many_at_once_and_the_others_in_their_order(runner: WarmRunner) -> None:
    for name in ("slow 1", "slow 2", "third", "fourth", "fifth"):
        runner.launch(name)
    assert [runner.standing(name).says for name in ("third", "fourth", "fifth")] == [f"queued behind {count} runs" for count in (2, 3, 4)]
    assert runner.status("fifth") == "RUNNING", "a run that waits its turn lives"
    assert runner.launch("third").queued_behind == 2, "asked twice, it does not wait twice"
    runner.terminate("slow 1")  # from here on, they go one after the other through its place
    eventually(lambda: runner.ran() == ["third", "fourth", "fifth"])
    assert runner.status("slow 2") == "RUNNING"


@two_at_once
def test_a_run_that_is_terminated_in_the_queue_never_starts(runner: WarmRunner) -> None:
    for name in ("slow 1", "slow 2", "third", "fourth"):
        runner.launch(name)
    assert runner.terminate("third").was == "queued"
    assert runner.status("third") == "FAILED"
    again = runner.launch("third")
    assert (again.run, again.queued_behind) == (None, None)
    runner.let_go()
    eventually(lambda: runner.status("fourth") == "SUCCESS")
    assert "third" not in runner.ran()


@two_at_once
def test_a_run_whose_turn_comes_too_late_never_starts(runner: WarmRunner) -> None:
    """Run monitoring fails what has not started in time; the runner gives it up before that."""
    for name in ("slow 1", "slow 2"):
        runner.launch(name)
    runner.launch("third", start_timeout_s=0.2)
    eventually(lambda: runner.status("third") == "FAILED")
    assert "never started" in runner.standing("third").says
    runner.let_go()
    eventually(lambda: runner.status("slow 2") == "SUCCESS")
    assert "third" not in runner.ran()


def test_an_order_that_comes_too_late_starts_nothing(runner: WarmRunner) -> None:
    """Whoever gave it has already told Dagster that the launch failed."""
    late = Order(order="launch", run_id="good", answer_by_s=time.monotonic() - 1)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(runner.socket_path))
        caller.sendall(late.model_dump_json().encode() + b"\n")
        assert b"too late" in caller.recv(4_096)
    assert (runner.status("good"), runner.ran()) == ("NOT_FOUND", [])


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match=CHILDREN_VARIABLE):
        alive_max({CHILDREN_VARIABLE: text})
    assert (alive_max({}), alive_max({CHILDREN_VARIABLE: "3"})) == (CHILDREN_MAX, 3)


def test_a_run_that_does_not_end_when_asked_is_killed_before_it_is_written_off() -> None:
    """`cancel_timeout_seconds` is 30 in the `dagster.yaml` that we ship."""
    assert dispatching.KILL_AFTER_S < 30.0
    assert dispatching.STOP_TIMEOUT_S < 12.0


@pytest.mark.parametrize("nonsense", [b"", b"\n", b"not json\n", b"{}\n", b"[1]\n", b'{"order": "launch"}\n'])
def test_nonsense_does_not_disturb_it(runner: WarmRunner, nonsense: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(runner.socket_path))
        caller.sendall(nonsense)
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(100) == b""
    runner.launch("good")
    eventually(lambda: runner.status("good") == "SUCCESS")
    assert runner.ran() == ["good"]


def test_only_the_own_account_is_heard() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert is_own_account(ours, os.geteuid())
        assert not is_own_account(ours, os.geteuid() + 1)


@pytest.mark.parametrize("runner", [{"OTHER_ACCOUNT": "1"}], indirect=True)
def test_a_process_of_another_account_gets_no_answer(runner: WarmRunner) -> None:
    with pytest.raises(ConnectionError):
        runner.launch("good")
    assert runner.ran() == []


def test_the_socket_is_for_its_owner_from_the_first_moment(runner: WarmRunner) -> None:
    assert runner.socket_path.stat().st_mode & 0o777 == 0o600


def test_without_a_runner_nobody_was_asked(tmp_path: Path) -> None:
    for path in (None, "", str(tmp_path / "nobody.sock")):
        with pytest.raises(RunnerAway):
            ask_to_launch(path, "run")


def test_a_runner_that_was_asked_and_does_not_answer_is_no_reason_to_start_the_run_elsewhere(tmp_path: Path) -> None:
    path = str(tmp_path / "mute.sock")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen()
        hanging_up = threading.Thread(target=_hang_up_on_the_next, args=[mute])
        hanging_up.start()
        with pytest.raises(OSError, match=r".+") as caught:
            ask_standing(path, "run")
        hanging_up.join()
    assert not isinstance(caught.value, RunnerAway)


def _hang_up_on_the_next(listener: socket.socket) -> None:
    caller, _ = listener.accept()
    caller.close()


@pytest.mark.parametrize("runner", [{"NO_FORK": "1"}], indirect=True)
def test_a_run_that_the_system_gives_no_process_is_refused_and_the_runner_goes_on(runner: WarmRunner) -> None:
    refused = runner.launch("good").refused
    assert refused is not None
    assert "no process" in refused
    assert runner.status("good") == "FAILED"
