"""The runner's book: turns, ends, what it forgets, and that it can be written down and read again."""

from __future__ import annotations

from stella_pipelines.jobs.warm.children import ENDED_KEPT_MAX, Book, Children
from stella_pipelines.jobs.warm.presence import ProcessName

ONE = ProcessName(pid=1, began=10)
TWO = ProcessName(pid=2, began=20)


def test_turns_are_taken_in_the_order_in_which_they_were_asked_for() -> None:
    children = Children(1)
    for run_id in ("a", "b", "c"):
        children.enqueue(run_id, None)
    assert children.next_to_start(0) == "a"
    children.began("a", ONE)
    assert children.next_to_start(0) is None
    assert (children.queued_behind("b"), children.queued_behind("c"), children.queued_behind("a")) == (1, 2, None)
    children.has_ended("a", 0)
    assert children.next_to_start(0) == "b"


def test_a_run_whose_time_is_over_gives_its_turn_to_the_next() -> None:
    children = Children(1)
    children.enqueue("late", 5.0)
    children.enqueue("patient", None)
    assert children.next_to_start(5.0) == "late"
    assert children.next_to_start(5.1) == "patient"
    assert children.standing("late").status == "FAILED"
    assert children.knows("late")


def test_the_book_is_written_down_whole() -> None:
    children = Children(2)
    for run_id in ("a", "b", "c", "d"):
        children.enqueue(run_id, 7.5)
    children.began("a", ONE)
    children.began("b", TWO)
    children.has_ended("b", -9)
    children.interrupted("a", 3.0)
    children.remove_from_queue("c", "terminated")
    again = Children(2, Book.model_validate_json(children.book().model_dump_json()))
    assert again.book() == children.book()
    assert [again.standing(run_id) for run_id in "abcde"] == [children.standing(run_id) for run_id in "abcde"]


def test_the_first_request_to_end_is_the_one_that_counts() -> None:
    children = Children(1)
    children.enqueue("a", None)
    children.began("a", ONE)
    children.interrupted("a", 3.0)
    children.interrupted("a", 9.0)
    assert children.alive["a"].interrupted_at_s == 3.0


def test_what_ended_long_ago_is_forgotten_oldest_first() -> None:
    children = Children(1)
    for number in range(ENDED_KEPT_MAX + 1):
        children.enqueue(f"run {number}", None)
        children.began(f"run {number}", ONE)
        children.has_ended(f"run {number}", 0)
    assert not children.knows("run 0")
    assert children.knows("run 1")
    assert len(children.book().ended) == ENDED_KEPT_MAX
