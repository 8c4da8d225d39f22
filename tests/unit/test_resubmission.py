"""When a queued step is queued again: its process died, the others are through, or nobody is at work. And when it is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from stella_pipelines.jobs.shards.resubmission import GRACE_S, PATIENCE_S, PATIENCE_S_MAX, PersistentStep, Together


class Queued:
    """One submission."""

    def __init__(self) -> None:
        self.result: Any = None
        self.revoked = False

    def ready(self) -> bool:
        return self.result is not None

    def get(self) -> Any:
        return self.result

    def revoke(self) -> None:
        self.revoked = True


class Queue:
    """The queue, its time, and what is known about the workers."""

    def __init__(self) -> None:
        self.queued: list[Queued] = []
        self.now_s = 100.0
        self.nobody = False
        self.told: list[str] = []
        self.together = Together()
        self.step = PersistentStep(
            self._submit,
            together=self.together,
            worker_died=lambda result: result.get() == "died",
            nobody_at_work=lambda: self.nobody,
            now_s=lambda: self.now_s,
            tell=self.told.append,
        )

    def _submit(self) -> Queued:
        self.queued.append(Queued())
        return self.queued[-1]

    def after(self, seconds: float) -> bool:
        self.now_s += seconds
        return self.step.ready()


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_a_result_is_a_result(queue: Queue) -> None:
    assert not queue.after(1.0)
    queue.queued[0].result = "events"
    assert queue.after(1.0)
    assert queue.step.get() == "events"
    assert len(queue.queued) == 1


def test_a_step_whose_process_died_is_queued_again(queue: Queue) -> None:
    queue.queued[0].result = "died"
    assert not queue.after(1.0)
    assert len(queue.queued) == 2
    queue.queued[1].result = "events"
    assert queue.after(1.0)
    assert queue.told == ["Queued again: its process died."]


def test_a_long_step_is_left_alone_while_somebody_is_at_work(queue: Queue) -> None:
    for _ in range(1_000):
        assert not queue.after(10.0)
    assert len(queue.queued) == 1


def test_a_step_that_stays_behind_the_others_is_queued_again(queue: Queue) -> None:
    queue.together.one_ended(queue.now_s)
    assert not queue.after(GRACE_S - 1)
    assert len(queue.queued) == 1
    assert not queue.after(1.0)
    assert len(queue.queued) == 2
    assert queue.queued[0].revoked, "nobody shall begin the first one any more"
    assert not queue.after(GRACE_S - 1)
    assert len(queue.queued) == 2, "the second one has its own time"


def test_nobody_at_work_is_waited_for_with_growing_patience(queue: Queue) -> None:
    queue.nobody = True
    at_s = []
    while queue.now_s < 100.0 + 3_000:
        before = len(queue.queued)
        queue.after(1.0)
        if len(queue.queued) > before:
            at_s.append(queue.now_s)
    gaps = [later - earlier for earlier, later in zip([100.0, *at_s], at_s, strict=False)]
    assert gaps[:4] == [PATIENCE_S, 2 * PATIENCE_S, 4 * PATIENCE_S, 8 * PATIENCE_S]
    assert max(gaps) == PATIENCE_S_MAX


def test_revoking_revokes_the_newest(queue: Queue) -> None:
    queue.queued[0].result = "died"
    queue.after(1.0)
    queue.step.revoke()
    assert queue.queued[1].revoked
