"""The runner's socket file is removed or replaced: runs are not disturbed, nobody calls them dead, and the runner is back within a second."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from stella_pipelines.jobs.warm import dispatching
from stella_pipelines.jobs.warm.listening import Door
from stella_pipelines.jobs.warm.orders import RunnerAway
from tests.support.installation import fast_home
from tests.support.waiting import eventually
from tests.support.warm_runner import WarmRunner, alive


@pytest.fixture
def runner() -> Iterator[WarmRunner]:
    with fast_home() as home:
        home.mkdir()
        running = WarmRunner(home)
        yield running
        running.close()


def answers(runner: WarmRunner) -> bool:
    try:
        return runner.status("slow") == "RUNNING"
    except (RunnerAway, OSError):
        return False


def test_it_looks_often_enough_to_be_back_within_a_second() -> None:
    assert dispatching.TICK_S <= 0.5


def test_a_socket_that_is_removed_comes_back(runner: WarmRunner) -> None:
    slow = runner.pid("slow")
    runner.socket_path.unlink()
    with pytest.raises(RunnerAway):
        runner.status("slow")
    eventually(lambda: answers(runner))
    assert alive(slow)
    assert runner.socket_path.stat().st_mode & 0o777 == 0o600
    runner.launch("good")
    eventually(lambda: runner.ran() == ["good"])


@pytest.mark.parametrize("what", ["file", "folder", "socket"])
def test_a_socket_that_is_replaced_comes_back(runner: WarmRunner, what: str) -> None:
    slow = runner.pid("slow")
    runner.socket_path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        if what == "socket":
            other.bind(str(runner.socket_path))
        elif what == "folder":
            runner.socket_path.mkdir()
        else:
            runner.socket_path.touch()
        eventually(lambda: answers(runner))
    assert alive(slow)


def test_a_socket_whose_folder_is_removed_comes_back_in_a_private_one() -> None:
    with fast_home() as home:
        door = Door.opened(str(home / "run" / "runner.sock"))
        assert (home / "run").stat().st_mode & 0o777 == 0o700
        (home / "run" / "runner.sock").unlink()
        (home / "run").rmdir()
        assert list(door.reopened()) == []
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(home / "run" / "runner.sock"))
        assert (home / "run").stat().st_mode & 0o777 == 0o700
        door.close()


def test_a_caller_who_still_came_through_the_old_one_is_heard() -> None:
    with fast_home() as home, socket.socket(socket.AF_UNIX) as caller:
        home.mkdir()
        path = home / "runner.sock"
        door = Door.opened(str(path))
        caller.connect(str(path))
        caller.sendall(b"hello")
        path.unlink()
        (heard,) = door.reopened()
        with heard:
            assert heard.recv(100) == b"hello"
        assert list(door.reopened()) == [], "it looks once, and then it is its own again"
        door.close()


def test_a_renewed_runner_still_knows_its_socket(runner: WarmRunner) -> None:
    slow = runner.pid("slow")
    runner.write("another")
    runner.launch("good")
    assert runner.renewals()
    before = os.stat(runner.socket_path)
    time.sleep(3 * dispatching.TICK_S)
    assert os.stat(runner.socket_path).st_ino == before.st_ino, "it has not made it anew"
    runner.socket_path.unlink()
    eventually(lambda: answers(runner))
    assert alive(slow)
