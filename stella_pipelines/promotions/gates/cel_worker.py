"""CEL for whoever judges a long past: one process answers many questions, since starting one takes a hundred times as long as an answer.

It only makes things faster. Whatever the process does not answer cleanly (it ran into a bound, it died) is asked again in a process of its own
(`cel_evaluation.py`), so that every answer is the one that a gate gets.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from stella_pipelines.promotions.gates import cel_evaluation
from stella_pipelines.promotions.gates.cel_evaluation import CelAnswer, answer_of, evaluate
from stella_pipelines.promotions.gates.policy import PolicyGate
from stella_pipelines.promotions.gates.port import GateKind

QUESTIONS_MAX: Final = 1_000
"""Then a fresh process goes on: the bounds of memory and computing time are those of one process."""


class CelWorker:
    """See the module's docstring. Its process is started with the first question, and ends with the block."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0

    def __enter__(self) -> CelWorker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def evaluate(self, expression: str, documents: Mapping[str, Any]) -> CelAnswer:
        """As `cel_evaluation.evaluate`."""
        question = json.dumps({"expression": expression, "documents": documents}).encode()
        too_large = len(expression) > cel_evaluation.EXPRESSION_CHARACTERS_MAX or len(question) > cel_evaluation.DOCUMENTS_BYTES_MAX
        line = b"" if too_large else self._ask(question)
        return answer_of(line) if line.endswith(b"\n") else evaluate(expression, documents)

    def _ask(self, question: bytes) -> bytes:
        """The line that it answers; less than a line when it has none."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(question + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            self._stop()
        return line

    def _running(self) -> subprocess.Popen[bytes]:
        if self._asked >= QUESTIONS_MAX:
            self._stop()
        if self._process is None:
            command = [*cel_evaluation.command(), str(cel_evaluation.DEADLINE_S)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._asked += 1
        return self._process

    def _stop(self) -> None:
        process, self._process, self._asked = self._process, None, 0
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _close(pipe)
        process.wait()


def with_worker(kinds: Mapping[str, GateKind], worker: CelWorker) -> dict[str, GateKind]:
    """The kinds of gates, with the built-in policy gate asking the worker, where the system can end its process at the deadline (not Windows)."""
    usable = type(kinds.get(PolicyGate.kind)) is PolicyGate and hasattr(signal, "setitimer")
    return {**kinds, PolicyGate.kind: PolicyGate(worker.evaluate)} if usable else dict(kinds)


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        """What was not written any more is lost with the process that it was for."""
