"""A runner that becomes a new program in the same process: no run on stale code, and no running run disturbed, whatever is wrong with the new code."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from stella_pipelines.jobs.warm.runner import CHILDREN_VARIABLE
from tests.support.installation import fast_home
from tests.support.waiting import eventually
from tests.support.warm_runner import WarmRunner, alive


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Iterator[WarmRunner]:
    with fast_home() as home:
        home.mkdir()
        running = WarmRunner(home, getattr(request, "param", None))
        yield running
        running.close()


def test_no_run_starts_from_code_that_has_changed(runner: WarmRunner) -> None:
    runner.launch("before")
    eventually(lambda: runner.told() == ["before one"])
    runner.write("another")
    runner.launch("after")
    eventually(lambda: runner.told() == ["before one", "after another"])
    assert any("plan.py has changed" in line for line in runner.renewals())
    assert runner.prepared() == 1, "a runner that renews itself opens no database"


def test_what_runs_and_what_is_known_outlives_a_renewal(runner: WarmRunner) -> None:
    slow, process = runner.pid("slow"), runner.process.pid
    runner.launch("bad")
    eventually(lambda: runner.status("bad") == "FAILED")
    runner.write("another")
    runner.launch("good")
    assert (runner.status("slow"), runner.status("bad")) == ("RUNNING", "FAILED")
    assert runner.launch("bad").run is None, "an ended run is not started again"
    again = runner.launch("slow")
    assert again.run is not None
    assert (again.run.pid, again.runner is not None and again.runner.pid) == (slow, process)
    runner.let_go()
    eventually(lambda: runner.status("slow") == "SUCCESS")
    assert sorted(runner.told()) == ["bad one", "good another", "slow one"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_children_still_die_with_a_runner_that_has_renewed_itself(runner: WarmRunner, how: signal.Signals) -> None:
    older = runner.pid("slow older")
    runner.write("another")
    newer = runner.pid("slow newer")
    assert alive(older)
    eventually(runner.renewals)
    runner.process.send_signal(how)
    runner.process.wait(10)
    eventually(lambda: not alive(older) and not alive(newer))


def test_a_change_is_noticed_by_an_idle_runner_too(runner: WarmRunner) -> None:
    """So that the next launch need not wait for it."""
    runner.write("another")
    eventually(runner.renewals)
    runner.launch("good")
    eventually(lambda: runner.told() == ["good another"])


def test_code_that_cannot_be_imported_disturbs_no_run(runner: WarmRunner) -> None:
    slow = runner.pid("slow")
    runner.plan.write_text("WORD = = 'broken'\n")
    refused = runner.launch("good").refused
    assert refused is not None
    assert "SyntaxError" in refused
    assert "Runs that have begun go on" in refused
    assert runner.status("slow") == "RUNNING"
    assert runner.launch("good").refused is not None
    assert alive(slow)
    assert runner.terminate("slow").was == "running"
    eventually(lambda: runner.status("slow") == "FAILED")
    runner.write("mended again")
    runner.launch("good")
    eventually(lambda: runner.told() == ["good mended again"])


@pytest.mark.parametrize("broken", ["import no_such_module_of_ours\n", "raise SystemExit(1)\n", "1 / 0\n"])
def test_whatever_an_import_does_the_runner_stays(runner: WarmRunner, broken: str) -> None:
    slow = runner.pid("slow")
    runner.plan.write_text(broken)
    assert runner.launch("good").refused is not None
    assert (runner.status("slow"), alive(slow)) == ("RUNNING", True)


@pytest.mark.parametrize("runner", [{"CORE": "plan"}], indirect=True)
def test_a_runner_whose_own_code_is_broken_stays_what_it_is(runner: WarmRunner) -> None:
    """It would not come up again, and its runs would die."""
    slow = runner.pid("slow")
    runner.plan.write_text("WORD = = 'broken'\n")
    refused = runner.launch("good").refused
    assert refused is not None
    assert "SyntaxError" in refused
    assert (runner.status("slow"), alive(slow), runner.renewals()) == ("RUNNING", True, [])
    runner.write("mended again")
    runner.launch("good")
    eventually(lambda: runner.told() == ["good mended again"])
    assert alive(slow)


@pytest.mark.parametrize("runner", [{CHILDREN_VARIABLE: "1"}], indirect=True)
def test_the_queue_outlives_a_renewal(runner: WarmRunner) -> None:
    runner.launch("slow")
    runner.launch("second")
    runner.write("another")
    runner.launch("third")
    eventually(runner.renewals)
    assert [runner.standing(name).says for name in ("second", "third")] == ["queued behind 1 runs", "queued behind 2 runs"]
    runner.let_go()
    eventually(lambda: runner.told() == ["slow one", "second another", "third another"])


@pytest.mark.parametrize("runner", [{"FORKS_MAX": "2"}], indirect=True)
def test_a_runner_that_has_forked_enough_renews_itself(runner: WarmRunner) -> None:
    slow = runner.pid("slow")
    runner.launch("good")
    eventually(lambda: any("has forked 2 runs" in line for line in runner.renewals()))
    assert (runner.status("slow"), runner.status("good"), alive(slow)) == ("RUNNING", "SUCCESS", True)
    renewals = len(runner.renewals())
    runner.let_go()
    eventually(lambda: runner.status("slow") == "SUCCESS")
    assert len(runner.renewals()) == renewals, "it counts anew"


def test_a_stop_during_a_renewal_is_not_lost(runner: WarmRunner) -> None:
    slow, importing = runner.pid("slow"), runner.folder / "importing"
    runner.plan.write_text(f"import pathlib, time\npathlib.Path({str(importing)!r}).touch()\ntime.sleep(0.5)\nWORD = 'slowly'\n")
    eventually(importing.exists, timeout_s=60.0)
    assert alive(slow)
    runner.process.terminate()
    assert runner.process.wait(10) == 0
    assert not alive(slow)
