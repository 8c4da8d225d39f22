"""Exactly once: whatever is lost, repeated, doubled or deleted on the way from an outbox row to a run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from stella_pipelines.jobs import submission
from stella_pipelines.jobs.backoff import rest_after
from stella_pipelines.jobs.submission import ENVIRONMENT_TAG, run_id_of, run_tags, submit_pending
from stella_pipelines.store import leases, outbox
from stella_pipelines.store.outbox import OutboxRow
from tests.support.installation import SmallInstallation


def row_of(stella: SmallInstallation, promotion_id: str) -> OutboxRow:
    with stella.plane.store.reading() as tx:
        found = outbox.latest(tx, "promotion", promotion_id)
    assert found is not None
    return found


def enqueued(stella: SmallInstallation, run_id: str) -> int:
    """How often the run was put into the queue."""
    return len(stella.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.PIPELINE_ENQUEUED).records)


def test_a_row_becomes_one_queued_run_under_its_own_id(stella: SmallInstallation) -> None:
    promotion = stella.request()
    assert submit_pending(stella.plane, stella.submitter()) == [run_id_of("promotion", promotion.id, 1)]
    (run,) = stella.runs()
    assert run.status is dg.DagsterRunStatus.QUEUED
    assert run.run_config == {"ops": {"gather_plan": {"config": {"promotion_id": promotion.id, "attempt": 1}}}}
    assert {"stella/promotion": promotion.id, "stella/promotes_to": "dev", "stella/release": "shop-1.0.0"}.items() <= run.tags.items()
    assert (row_of(stella, promotion.id).state, row_of(stella, promotion.id).run_id) == ("submitted", run.run_id)


def test_the_queued_run_names_code_that_a_run_process_can_load(stella: SmallInstallation) -> None:
    stella.request()
    submit_pending(stella.plane, stella.submitter())
    (run,) = stella.runs()
    assert run.job_code_origin is not None
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.location_name == "stella"
    assert run.job_code_origin.repository_origin.code_pointer.describe().startswith("from stella_pipelines.definitions")


def test_repeated_passes_submit_nothing_again(stella: SmallInstallation) -> None:
    promotion = stella.request()
    passes = [submit_pending(stella.plane, stella.submitter(f"pass-{number}")) for number in range(4)]
    assert passes == [[run_id_of("promotion", promotion.id, 1)], [], [], []]
    assert len(stella.runs()) == 1
    assert enqueued(stella, stella.runs()[0].run_id) == 1


def test_a_submit_that_was_lost_before_it_was_noted_is_found_again(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies after queueing the run and before marking the row."""
    promotion = stella.request()
    with monkeypatch.context() as dying:
        dying.setattr(outbox, "mark_submitted", _die)
        with pytest.raises(Died):
            submit_pending(stella.plane, stella.submitter("first"))
    assert row_of(stella, promotion.id).state == "pending"
    assert submit_pending(stella.plane, stella.submitter("second")) == [run_id_of("promotion", promotion.id, 1)]
    assert len(stella.runs()) == 1
    assert enqueued(stella, stella.runs()[0].run_id) == 1
    assert row_of(stella, promotion.id).state == "submitted"


def test_a_run_that_was_created_and_not_queued_is_queued_by_the_next_one(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies between creating the run and queueing it."""
    promotion = stella.request()
    with monkeypatch.context() as dying:
        dying.setattr(type(stella.instance), "submit_run", _die)
        with pytest.raises(Died):
            submit_pending(stella.plane, stella.submitter("first"))
    assert [run.status for run in stella.runs()] == [dg.DagsterRunStatus.NOT_STARTED]
    submit_pending(stella.plane, stella.submitter("second"))
    assert [(run.run_id, run.status) for run in stella.runs()] == [(run_id_of("promotion", promotion.id, 1), dg.DagsterRunStatus.QUEUED)]
    assert enqueued(stella, stella.runs()[0].run_id) == 1


def test_two_submitters_at_once_make_one_run(stella: SmallInstallation) -> None:
    promotions = [stella.request("dev"), stella.request("prod")]
    start = threading.Barrier(2)
    done: list[list[str]] = []
    submitters = [stella.submitter("one"), stella.submitter("two")]

    def submit(number: int) -> None:
        start.wait()
        done.append(submit_pending(stella.plane, submitters[number]))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = {run_id_of("promotion", promotion.id, 1) for promotion in promotions}
    assert {run_id for submitted in done for run_id in submitted} == wanted
    assert {run.run_id for run in stella.runs()} == wanted
    assert [enqueued(stella, run_id) for run_id in wanted] == [1, 1]


def test_a_second_submitter_does_nothing_while_the_first_one_works(stella: SmallInstallation) -> None:
    stella.request()
    with stella.plane.store.writing() as tx:
        held = leases.acquire(tx, submission.SUBMITTER_LEASE, "first", stella.plane.clock.now(), 30.0)
    assert submit_pending(stella.plane, stella.submitter("second")) == []
    assert stella.runs() == []
    with stella.plane.store.writing() as tx:
        leases.release(tx, held)
    assert len(submit_pending(stella.plane, stella.submitter("second"))) == 1


def test_a_run_that_somebody_deleted_does_not_come_back(stella: SmallInstallation) -> None:
    stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    stella.instance.delete_run(run_id)
    assert submit_pending(stella.plane, stella.submitter()) == []
    assert stella.runs() == []


def test_an_idle_pass_takes_no_lease(stella: SmallInstallation) -> None:
    assert submit_pending(stella.plane, stella.submitter()) == []
    with stella.plane.store.writing() as tx:
        assert leases.acquire(tx, submission.SUBMITTER_LEASE, "anybody", stella.plane.clock.now(), 1.0).token == 1


def test_only_deployments_are_queued_one_after_the_other_per_environment(stella: SmallInstallation) -> None:
    row = row_of(stella, stella.request().id)
    assert ENVIRONMENT_TAG not in run_tags(row)
    assert run_tags(row.model_copy(update={"kind": "deployment"}))[ENVIRONMENT_TAG] == "dev"


def unsubmittable(monkeypatch: pytest.MonkeyPatch, subjects: set[str]) -> None:
    """Dagster refuses the runs of these promotions."""
    tags = submission.run_tags

    def refuse(row: OutboxRow) -> Mapping[str, str]:
        if row.subject in subjects:
            raise dg.DagsterInvariantViolationError(f"no run for {row.subject}")
        return tags(row)

    monkeypatch.setattr(submission, "run_tags", refuse)


def test_a_row_that_fails_does_not_stop_those_behind_it(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = stella.request("dev"), stella.request("prod")
    with monkeypatch.context() as broken:
        unsubmittable(broken, {first.id})
        assert submit_pending(stella.plane, stella.submitter()) == [run_id_of("promotion", second.id, 1)]
    failed = row_of(stella, first.id)
    assert (failed.state, failed.failures) == ("pending", 1)
    assert f"no run for {first.id}" in (failed.reason or "")
    assert row_of(stella, second.id).state == "submitted"


def test_a_row_that_failed_rests_and_is_tried_again(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    promotion = stella.request()
    with monkeypatch.context() as broken:
        unsubmittable(broken, {promotion.id})
        assert [submit_pending(stella.plane, stella.submitter()) for _ in range(3)] == [[], [], []]
    assert row_of(stella, promotion.id).failures == 1
    retry_at = row_of(stella, promotion.id).retry_at
    assert retry_at is not None
    monkeypatch.setattr(stella.plane.clock, "now", lambda: retry_at)
    assert submit_pending(stella.plane, stella.submitter()) == [run_id_of("promotion", promotion.id, 1)]
    assert (row_of(stella, promotion.id).state, row_of(stella, promotion.id).reason) == ("submitted", None)


def test_a_head_full_of_rows_that_fail_does_not_starve_a_new_one(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "OUTBOX_BATCH_MAX", 1)
    monkeypatch.setattr(submission, "rest_after", lambda _: timedelta(0))
    first, second = stella.request("dev"), stella.request("prod")
    unsubmittable(monkeypatch, {first.id})
    assert submit_pending(stella.plane, stella.submitter()) == []
    assert submit_pending(stella.plane, stella.submitter()) == [run_id_of("promotion", second.id, 1)]


def test_a_pass_whose_lease_was_taken_leaves_the_rest_to_the_other_one(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    stella.request("dev")
    stella.request("prod")
    submit = submission._submit_or_note

    def slow(*given: Any) -> str | None:
        """So slow that the lease expires and another process takes it."""
        run_id = submit(*given)
        with stella.plane.store.writing() as tx:
            later = stella.plane.clock.now() + timedelta(seconds=31)
            leases.acquire(tx, submission.SUBMITTER_LEASE, "other", later, 30.0)
        return run_id

    monkeypatch.setattr(submission, "_submit_or_note", slow)
    assert len(submit_pending(stella.plane, stella.submitter())) == 1
    assert len(stella.runs()) == 1


def test_the_rest_grows_and_has_a_limit() -> None:
    assert [rest_after(failures).total_seconds() for failures in (1, 2, 3, 9, 10)] == [1, 2, 4, 256, 300]
    assert rest_after(1_000_000) == rest_after(10)
    assert rest_after(0) == rest_after(1)


@pytest.mark.parametrize("other", [("deployment", "prm_a", 1), ("promotion", "prm_b", 1), ("promotion", "prm_a", 2)])
def test_every_row_has_its_own_run_id(other: tuple[str, str, int]) -> None:
    assert run_id_of("promotion", "prm_a", 1) == run_id_of("promotion", "prm_a", 1)
    assert run_id_of(*other) != run_id_of("promotion", "prm_a", 1)


class Died(BaseException):
    """The process ended here."""


def _die(*_: object, **__: object) -> None:
    raise Died
