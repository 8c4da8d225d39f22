"""Policies within bounds: an expression that is too long, too slow or over too much is an error with a reason, and nothing is left running."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.promotions.gates import cel_evaluation
from stella_pipelines.promotions.gates.cel_evaluation import EXPRESSION_CHARACTERS_MAX, evaluate
from stella_pipelines.promotions.gates.policy import PolicyGate, PolicyInputs
from stella_pipelines.promotions.gates.port import GateInputs, GateVerdict

NUMBERS = {"numbers": list(range(300))}
ENDLESS = "release.numbers.all(a, release.numbers.all(b, release.numbers.all(c, release.numbers.all(d, a + b + c + d >= 0))))"


def judged(cel: str, release: dict[str, Any]) -> GateVerdict:
    facts = PolicyInputs(policy="heavy", cel=cel, message="", digest=Digest.of(cel.encode()), release=release, environment={}, plan=None)
    return PolicyGate().judge(GateInputs(name="policy", kind="policy", facts=facts.document()))


def test_an_expression_that_takes_too_long_is_stopped_and_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    monkeypatch.setattr(cel_evaluation, "DEADLINE_S", 0.5)
    before = time.monotonic()
    verdict = judged(ENDLESS, NUMBERS)
    assert time.monotonic() - before < 10
    assert (verdict.verdict, verdict.reasons) == ("error", ("Policy heavy could not be evaluated: it had no answer after 0.5 s, and was stopped.",))
    assert [process.returncode is not None for process in started] == [True], "it was killed and waited for"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bound; the page on gates says so")
def test_an_expression_that_takes_too_much_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_evaluation, "MEMORY_BYTES_MAX", 256 * 1024 * 1024)
    verdict = judged("['aaaa']" + ".map(x, x + x + x + x)" * 40 + ".size() > 0", {})
    assert verdict.verdict == "error"
    assert "more memory or computing time than it may" in verdict.reasons[0]


def test_an_expression_of_ordinary_size_has_its_answer() -> None:
    assert judged("release.numbers.all(a, release.numbers.exists(b, a == b))", NUMBERS).verdict == "allow"


def test_a_text_that_is_too_long_is_an_error() -> None:
    assert evaluate("true".ljust(EXPRESSION_CHARACTERS_MAX), {}).answer is True
    verdict = judged("true".ljust(EXPRESSION_CHARACTERS_MAX + 1), {})
    assert verdict.verdict == "error"
    assert f"its text has {EXPRESSION_CHARACTERS_MAX + 1} characters" in verdict.reasons[0]


def test_documents_that_are_too_large_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_evaluation, "DOCUMENTS_BYTES_MAX", 100)
    verdict = judged("true", NUMBERS)
    assert verdict.verdict == "error"
    assert "at most 100 are evaluated" in verdict.reasons[0]


def test_a_process_that_ends_without_an_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_evaluation, "_PROGRAM", cel_evaluation._PROGRAM.with_name("is_not_there.py"))
    verdict = judged("true", {})
    assert verdict.verdict == "error"
    assert "ended with status 2 and without an answer" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [("(" * 8000 + "true" + ")" * 8000, "error"), ("!" * 16_000 + "true", "allow"), ("[" * 8000 + "]" * 8000, "error")],
    ids=["parentheses", "negations", "lists"],
)
def test_deep_nesting_takes_nothing_down(expression: str, verdict: str) -> None:
    assert judged(expression, {}).verdict == verdict
