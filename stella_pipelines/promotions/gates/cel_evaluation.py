"""Evaluates a CEL expression within bounds: of its length, of the documents, and of time and memory.

The evaluation is a short-lived process (`cel_program.py`) that is killed at the deadline and waited for, so nothing is left behind. The same
expression over the same documents always gives the same answer or none at all: the bounds turn an answer into a problem, never into another.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stella_pipelines.core.values import Value

EXPRESSION_CHARACTERS_MAX: Final = 16 * 1024
"""One expression; longer ones are programs and belong into a plugin."""
DOCUMENTS_BYTES_MAX: Final = 64 * 1024 * 1024
"""All documents of one question as JSON; the plan of an environment with 10,000 targets has about 10 MB."""
DEADLINE_S: Final = 10.0
"""From the start of the process to its answer. Expressions take milliseconds, the start of the process some hundredths of a second."""
CPU_S_MAX: Final = 20
"""Computing time after which the kernel ends the process, should nobody be left who waits for the deadline. Not on Windows."""
MEMORY_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Memory of the process: large documents, and room to work on them. Not bounded on Windows."""
_PROGRAM: Final = Path(__file__).with_name("cel_program.py")


class CelAnswer(Value):
    """What came out: a bool, or why there is none."""

    answer: bool | None
    problem: str | None = None


def evaluate(expression: str, documents: Mapping[str, Any], deadline_s: float | None = None) -> CelAnswer:
    """The expression's answer over the documents."""
    limit_s = DEADLINE_S if deadline_s is None else deadline_s
    if len(expression) > EXPRESSION_CHARACTERS_MAX:
        return _problem(f"its text has {len(expression)} characters, and at most {EXPRESSION_CHARACTERS_MAX} are evaluated")
    question = json.dumps({"expression": expression, "documents": documents}).encode()
    if len(question) > DOCUMENTS_BYTES_MAX:
        return _problem(f"its documents have {len(question)} bytes, and at most {DOCUMENTS_BYTES_MAX} are evaluated")
    try:
        done = subprocess.run(command(), input=question, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return _problem(f"it had no answer after {limit_s:g} s, and was stopped")
    return _read(done)


def command() -> list[str]:
    """How the program is started. A third number would be the seconds after which it ends by itself while it evaluates."""
    # -P: the program's own folder is not searched for modules, so that no file beside it is mistaken for a library.
    return [sys.executable, "-P", str(_PROGRAM), str(CPU_S_MAX), str(MEMORY_BYTES_MAX)]


def answer_of(line: bytes) -> CelAnswer:
    """What the program said."""
    said = json.loads(line)
    if "problem" in said:
        return _problem(str(said["problem"]))
    if said["answer"] is None:
        return _problem(f"it answers {said['type']}, not true or false")
    return CelAnswer(answer=said["answer"])


def _read(done: subprocess.CompletedProcess[bytes]) -> CelAnswer:
    if done.returncode < 0:
        return _problem(f"its evaluation was ended by signal {-done.returncode}, as it is when it takes more memory or computing time than it may")
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return _problem(f"its evaluation ended with status {done.returncode} and without an answer ({lines[-1][:200] if lines else 'it said nothing'})")
    return answer_of(done.stdout)


def _problem(why: str) -> CelAnswer:
    return CelAnswer(answer=None, problem=why)
