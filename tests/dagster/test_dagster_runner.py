"""The warm runner and the launcher that asks it: one child per run, whatever is asked twice, killed or left alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stella_pipelines.jobs.launcher import RunnerAway, ask_runner
from tests.support.installation import ROOT, fast_home

PROGRAM = """
import socket, sys, time
from stella_pipelines.jobs.runner import Runner, serve_until_signal

def execute(run_id):
    if run_id.startswith("slow"):
        time.sleep(60)
    with open(sys.argv[2], "a") as told:
        told.write(run_id + chr(10))
    return 3 if run_id.startswith("bad") else 0

with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    serve_until_signal(Runner(listener, execute))
"""


class RunningRunner:
    """A runner in a process of its own, whose runs only write down that they ran."""

    def __init__(self, folder: Path) -> None:
        self.socket_path, self.told = str(folder / "runner.sock"), folder / "told"
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, self.socket_path, str(self.told)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        assert b"is ready" in self.process.stdout.readline()

    def ask(self, order: str, run_id: str) -> dict[str, object]:
        return dict(ask_runner(self.socket_path, order, run_id))

    def status(self, run_id: str) -> object:
        return self.ask("status", run_id)["status"]

    def ran(self) -> list[str]:
        return self.told.read_text().splitlines() if self.told.exists() else []

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def runner() -> Iterator[RunningRunner]:
    with fast_home() as home:
        home.mkdir()
        running = RunningRunner(home)
        yield running
        running.close()


def eventually(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "did not happen within 10 s"
        time.sleep(0.02)


def alive(pid: object) -> bool:
    """Whether the process still does anything; a dead one that nobody has waited for does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_run_is_forked_and_its_end_is_known(runner: RunningRunner) -> None:
    assert runner.status("good") == "NOT_FOUND"
    runner.ask("launch", "good")
    eventually(lambda: runner.status("good") == "SUCCESS")
    runner.ask("launch", "bad")
    eventually(lambda: runner.status("bad") == "FAILED")
    assert runner.ran() == ["good", "bad"]


def test_asked_twice_a_run_is_started_once(runner: RunningRunner) -> None:
    first = runner.ask("launch", "slow")
    assert runner.ask("launch", "slow") == first
    runner.ask("launch", "good")
    eventually(lambda: runner.status("good") == "SUCCESS")
    runner.ask("launch", "good")
    eventually(lambda: runner.status("good") == "SUCCESS")
    assert runner.ran() == ["good"]


def test_a_run_that_is_killed_counts_as_failed(runner: RunningRunner) -> None:
    pid = int(str(runner.ask("launch", "slow")["pid"]))
    assert runner.status("slow") == "RUNNING"
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: runner.status("slow") == "FAILED")
    assert "-9" in str(runner.ask("status", "slow")["says"])


def test_a_run_can_be_terminated(runner: RunningRunner) -> None:
    assert runner.ask("terminate", "slow") == {"alive": False}
    runner.ask("launch", "slow")
    assert runner.ask("terminate", "slow") == {"alive": True}
    eventually(lambda: runner.status("slow") == "FAILED")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_run_outlives_the_runner(runner: RunningRunner, how: signal.Signals) -> None:
    pids = [runner.ask("launch", f"slow {number}")["pid"] for number in range(3)]
    assert all(alive(pid) for pid in pids)
    runner.process.send_signal(how)
    runner.process.wait(10)
    eventually(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("nonsense", [b"", b"\n", b"not json\n", b"{}\n", b"[1]\n", b'{"order": "launch"}\n'])
def test_nonsense_does_not_disturb_it(runner: RunningRunner, nonsense: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(runner.socket_path)
        caller.sendall(nonsense)
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(100) == b""
    runner.ask("launch", "good")
    eventually(lambda: runner.status("good") == "SUCCESS")
    assert runner.ran() == ["good"]


def test_without_a_runner_nobody_was_asked(tmp_path: Path) -> None:
    for path in (None, "", str(tmp_path / "nobody.sock")):
        with pytest.raises(RunnerAway):
            ask_runner(path, "launch", "run")


def test_a_runner_that_was_asked_and_does_not_answer_is_no_reason_to_start_the_run_elsewhere(tmp_path: Path) -> None:
    path = str(tmp_path / "mute.sock")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen()
        hanging_up = threading.Thread(target=_hang_up_on_the_next, args=[mute])
        hanging_up.start()
        with pytest.raises(OSError, match=r".+") as caught:
            ask_runner(path, "launch", "run")
        hanging_up.join()
    assert not isinstance(caught.value, RunnerAway)


def _hang_up_on_the_next(listener: socket.socket) -> None:
    caller, _ = listener.accept()
    caller.close()
