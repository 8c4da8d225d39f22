"""The coordinator that starts at once what no limit holds back, and queues the rest by Dagster's own rule."""

from __future__ import annotations

import threading

import dagster as dg
import pytest
from dagster import DefaultRunLauncher
from dagster._core.launcher.base import LaunchRunContext

from stella_pipelines.jobs.submission import ENVIRONMENT_TAG, submit_pending
from stella_pipelines.jobs.warm import eager_coordinator
from stella_pipelines.jobs.warm.launcher import WarmRunLauncher
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.store import outbox
from tests.support.installation import SmallInstallation

STARTING, QUEUED = dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.QUEUED


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A runner that is there, and writes down what it is asked to launch."""
    runs: list[str] = []

    def launch(_: WarmRunLauncher, context: LaunchRunContext) -> None:
        assert context.dagster_run.status is STARTING, "a run that is launched before it says so could be moved back"
        runs.append(context.dagster_run.run_id)

    monkeypatch.setattr(eager_coordinator, "_runner_is_there", lambda _: True)
    monkeypatch.setattr(WarmRunLauncher, "launch_run", launch)
    return runs


def want_deployments(stella: SmallInstallation, environment: str, count: int) -> None:
    now = stella.plane.clock.now()
    with stella.plane.store.writing() as tx:
        for number in range(count):
            row_id = stella.plane.identifiers.new("out", now)
            outbox.enqueue(tx, "deployment", f"prm_{environment}{number}", 1, {"environment": environment}, row_id, now)


def statuses(stella: SmallInstallation) -> list[dg.DagsterRunStatus]:
    return sorted((run.status for run in stella.runs()), key=lambda status: status.value)


def test_a_run_that_nothing_holds_back_starts_with_its_submission(stella: SmallInstallation, launched: list[str]) -> None:
    promotion = stella.request()
    assert submit_pending(stella.plane, stella.submitter()) == launched
    assert statuses(stella) == [STARTING]
    assert stella.plane.promotions.get(promotion.id).state is PromotionState.EVALUATING


def test_without_a_runner_runs_are_queued_as_ever(stella: SmallInstallation) -> None:
    stella.request()
    submit_pending(stella.plane, stella.submitter())
    assert statuses(stella) == [QUEUED]


def test_another_launcher_gets_its_runs_from_the_queue(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's own, for containers say: it needs the daemon's workspace."""
    monkeypatch.setattr(eager_coordinator, "_runner_is_there", lambda _: True)
    monkeypatch.setattr(type(stella.instance), "run_launcher", DefaultRunLauncher())
    stella.request()
    submit_pending(stella.plane, stella.submitter())
    assert statuses(stella) == [QUEUED]


def test_a_second_deployment_of_an_environment_waits_in_the_queue_and_other_environments_do_not(stella: SmallInstallation, launched: list[str]) -> None:
    want_deployments(stella, "dev", 2)
    want_deployments(stella, "prod", 1)
    submit_pending(stella.plane, stella.submitter())
    at_work = {run.tags[ENVIRONMENT_TAG]: run.run_id for run in stella.runs() if run.status is STARTING}
    assert set(at_work) == {"dev", "prod"}
    assert sorted(launched) == sorted(at_work.values())
    assert statuses(stella) == [QUEUED, STARTING, STARTING]


def test_no_more_runs_start_than_the_configuration_allows(stella: SmallInstallation, launched: list[str]) -> None:
    limits = stella.instance.get_concurrency_config().run_queue_config
    assert limits is not None
    for number in range(limits.max_concurrent_runs + 3):
        want_deployments(stella, f"env{number}", 1)
    submit_pending(stella.plane, stella.submitter())
    assert len(launched) == limits.max_concurrent_runs
    assert statuses(stella).count(QUEUED) == 3


def test_a_launch_that_fails_leaves_a_failed_run_that_is_followed_and_never_starts(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("the runner did not answer")

    monkeypatch.setattr(eager_coordinator, "_runner_is_there", lambda _: True)
    monkeypatch.setattr(WarmRunLauncher, "launch_run", refuse)
    stella.request()
    assert submit_pending(stella.plane, stella.submitter()) == []
    assert statuses(stella) == [dg.DagsterRunStatus.FAILURE]


def test_two_submitters_at_the_same_moment_launch_a_run_once(stella: SmallInstallation, launched: list[str]) -> None:
    stella.request()
    together = threading.Barrier(2)

    def submit(name: str) -> None:
        together.wait()
        submit_pending(stella.plane, stella.submitter(name))

    threads = [threading.Thread(target=submit, args=[name]) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    submit_pending(stella.plane, stella.submitter("third"))
    assert len(launched) == 1
    assert statuses(stella) == [STARTING]
