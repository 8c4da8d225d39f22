"""The outbox: one row per kind, subject and attempt, and no row handled twice in two ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stella_pipelines.store import outbox
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import Conflict

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def test_a_row_comes_back_as_it_was_written(store: Store) -> None:
    with store.writing() as tx:
        outbox.enqueue(tx, "promotion", "prm_1", 1, {"environment": "prod"}, "out_1", NOW)
    with store.reading() as tx:
        assert outbox.pending(tx, 10) == [
            outbox.OutboxRow(
                id="out_1", kind="promotion", subject="prm_1", attempt=1, payload={"environment": "prod"}, state="pending", run_id=None, created_at=NOW
            )
        ]


def test_enqueueing_again_is_a_no_op_even_after_submission(store: Store) -> None:
    with store.writing() as tx:
        outbox.enqueue(tx, "promotion", "prm_1", 1, {"a": "1"}, "out_1", NOW)
        outbox.mark_submitted(tx, "out_1", "run-1", NOW)
        outbox.enqueue(tx, "promotion", "prm_1", 1, {"a": "2"}, "out_2", NOW)
        assert outbox.pending(tx, 10) == []
        latest = outbox.latest(tx, "promotion", "prm_1")
        assert latest is not None
        assert (latest.id, latest.payload, latest.state, latest.run_id) == ("out_1", {"a": "1"}, "submitted", "run-1")


def test_pending_rows_come_oldest_first_and_bounded(store: Store) -> None:
    with store.writing() as tx:
        for number in (3, 1, 2):
            outbox.enqueue(tx, "deployment", f"prm_{number}", 1, {}, f"out_{number}", NOW + timedelta(seconds=number))
        assert [row.id for row in outbox.pending(tx, 2)] == ["out_1", "out_2"]


def test_latest_is_the_highest_attempt_of_that_kind(store: Store) -> None:
    with store.writing() as tx:
        for attempt in (1, 2, 10):
            outbox.enqueue(tx, "promotion", "prm_1", attempt, {}, f"out_{attempt}", NOW)
        latest = outbox.latest(tx, "promotion", "prm_1")
        assert latest is not None
        assert latest.attempt == 10
        assert outbox.latest(tx, "deployment", "prm_1") is None


def test_noting_the_same_run_again_is_a_no_op_and_another_run_a_conflict(store: Store) -> None:
    with store.writing() as tx:
        outbox.enqueue(tx, "promotion", "prm_1", 1, {}, "out_1", NOW)
        outbox.mark_submitted(tx, "out_1", "run-1", NOW)
        outbox.mark_submitted(tx, "out_1", "run-1", NOW)
        with pytest.raises(Conflict):
            outbox.mark_submitted(tx, "out_1", "run-2", NOW)
        with pytest.raises(Conflict):
            outbox.abandon(tx, "out_1", "too late", NOW)


def test_an_abandoned_row_keeps_its_first_reason_and_is_never_submitted(store: Store) -> None:
    with store.writing() as tx:
        outbox.enqueue(tx, "promotion", "prm_1", 1, {}, "out_1", NOW)
        outbox.abandon(tx, "out_1", "cancelled", NOW)
        outbox.abandon(tx, "out_1", "again", NOW)
        with pytest.raises(Conflict):
            outbox.mark_submitted(tx, "out_1", "run-1", NOW)
        latest = outbox.latest(tx, "promotion", "prm_1")
        assert latest is not None
        assert (latest.state, latest.reason) == ("abandoned", "cancelled")


def test_a_row_that_failed_rests_and_is_due_again_with_its_reason(store: Store) -> None:
    with store.writing() as tx:
        for number in (1, 2):
            outbox.enqueue(tx, "promotion", f"prm_{number}", 1, {}, f"out_{number}", NOW + timedelta(seconds=number))
        outbox.note_failure(tx, "out_1", "x" * 5_000, NOW + timedelta(seconds=10), NOW)

        def due(seconds: float, limit: int = 10) -> list[str]:
            return [row.id for row in outbox.due(tx, NOW + timedelta(seconds=seconds), 300, limit)]

        assert due(9.9) == ["out_2"]
        assert due(10) == ["out_2", "out_1"]
        assert due(10, limit=1) == ["out_2"]
        failed = outbox.latest(tx, "promotion", "prm_1")
        assert failed is not None
        assert (failed.state, failed.failures, failed.reason) == ("pending", 1, "x" * outbox.REASON_LENGTH_MAX)
        assert [row.id for row in outbox.pending(tx, 10)] == ["out_1", "out_2"]
        outbox.mark_submitted(tx, "out_1", "run-1", NOW)
        done = outbox.latest(tx, "promotion", "prm_1")
        assert done is not None
        assert (done.state, done.failures, done.reason, done.retry_at) == ("submitted", 1, None, None)


def test_a_row_that_a_clock_ahead_put_to_rest_is_due(store: Store) -> None:
    with store.writing() as tx:
        outbox.enqueue(tx, "promotion", "prm_1", 1, {}, "out_1", NOW)
        outbox.note_failure(tx, "out_1", "broken", NOW + timedelta(days=1), NOW)
        assert [row.id for row in outbox.due(tx, NOW, 300, 10)] == ["out_1"]


def test_a_failure_of_a_row_that_was_handled_meanwhile_changes_nothing(store: Store) -> None:
    with store.writing() as tx:
        outbox.enqueue(tx, "promotion", "prm_1", 1, {}, "out_1", NOW)
        outbox.mark_submitted(tx, "out_1", "run-1", NOW)
        outbox.note_failure(tx, "out_1", "too late", NOW, NOW)
        latest = outbox.latest(tx, "promotion", "prm_1")
        assert latest is not None
        assert (latest.state, latest.failures, latest.reason) == ("submitted", 0, None)


def test_a_row_that_failed_is_abandoned_with_the_reason_for_that(store: Store) -> None:
    with store.writing() as tx:
        outbox.enqueue(tx, "promotion", "prm_1", 1, {}, "out_1", NOW)
        outbox.note_failure(tx, "out_1", "broken", NOW, NOW)
        outbox.abandon(tx, "out_1", "cancelled", NOW)
        latest = outbox.latest(tx, "promotion", "prm_1")
        assert latest is not None
        assert (latest.state, latest.reason) == ("abandoned", "cancelled")


def test_an_unknown_row_is_a_conflict(store: Store) -> None:
    with store.writing() as tx, pytest.raises(Conflict):
        outbox.mark_submitted(tx, "out_none", "run-1", NOW)
