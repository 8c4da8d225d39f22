"""Many CEL questions to one process: the same answers as one process each, also where a bound is met, and nothing is left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from stella_pipelines.promotions.gates import cel_evaluation, cel_worker
from stella_pipelines.promotions.gates.cel_evaluation import evaluate
from stella_pipelines.promotions.gates.cel_worker import CelWorker, with_worker
from stella_pipelines.promotions.gates.policy import PolicyGate
from stella_pipelines.promotions.gates.registry import gate_kinds

DOCUMENTS: dict[str, Any] = {"release": {"name": "shop", "notes": "line\nbreak \u2028 ü"}, "numbers": list(range(300))}
SLOW = "numbers.all(a, numbers.all(b, numbers.all(c, numbers.all(d, a + b + c + d >= 0))))"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that were started."""
    known: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]  # the base is generic over text and bytes only for the type checker
        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            known.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    yield known
    assert [process.returncode for process in known if process.returncode is None] == []


@pytest.mark.parametrize(
    "expression", ["release.name == 'shop'", "release.name == 'x'", "release.missing", "1 +", "1 / 0 == 1", "1 + 1", "release.notes.size() > 3", "", "\u2028"]
)
def test_the_same_answer_as_a_process_of_its_own(expression: str) -> None:
    with CelWorker() as worker:
        assert worker.evaluate(expression, DOCUMENTS) == evaluate(expression, DOCUMENTS)


def test_many_questions_take_one_process(started: list[subprocess.Popen[bytes]]) -> None:
    with CelWorker() as worker:
        answers = [worker.evaluate(f"numbers.size() == {number}", DOCUMENTS).answer for number in range(295, 305)]
    assert answers == [number == 300 for number in range(295, 305)]
    assert len(started) == 1


def test_no_question_no_process(started: list[subprocess.Popen[bytes]]) -> None:
    with CelWorker():
        pass
    assert started == []


def test_a_fresh_process_goes_on_after_a_while(started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_worker, "QUESTIONS_MAX", 2)
    with CelWorker() as worker:
        assert [worker.evaluate("true", {}).answer for _ in range(5)] == [True] * 5
    assert len(started) == 3


def test_what_meets_a_bound_is_asked_once_more_on_its_own(started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_evaluation, "DEADLINE_S", 0.5)
    with CelWorker() as worker:
        assert worker.evaluate("true", {}).answer is True
        slow = worker.evaluate(SLOW, DOCUMENTS)
        assert (slow.answer, slow.problem) == (None, "it had no answer after 0.5 s, and was stopped")
        assert worker.evaluate("1 == 2", {}).answer is False
    assert len(started) == 3  # the worker's, the one for the slow question, and the worker's next


def test_a_process_that_is_gone_is_replaced(started: list[subprocess.Popen[bytes]]) -> None:
    with CelWorker() as worker:
        assert worker.evaluate("true", {}).answer is True
        started[0].kill()
        started[0].wait()
        assert worker.evaluate("1 == 1", {}).answer is True
        assert worker.evaluate("1 == 2", {}).answer is False


@pytest.mark.parametrize("expression", ["true || " * 10_000 + "true", "true"])
def test_what_is_too_large_has_the_same_words(expression: str, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_evaluation, "DOCUMENTS_BYTES_MAX", 1_000)
    with CelWorker() as worker:
        answer = worker.evaluate(expression, DOCUMENTS)
    assert answer == evaluate(expression, DOCUMENTS)
    assert answer.answer is None
    assert started == []


def test_only_the_built_in_gate_asks_it() -> None:
    class Another(PolicyGate):
        """A plugin in its place."""

    with CelWorker() as worker:
        ours, theirs = with_worker(gate_kinds(), worker), with_worker({**gate_kinds(), "policy": Another()}, worker)
    assert type(ours["policy"]) is PolicyGate
    assert ours["policy"] is not gate_kinds()["policy"]
    assert type(theirs["policy"]) is Another
