"""The program that evaluates CEL expressions: a document on each line of its input, an answer on each line of its output, and it ends with its input.

Started for one expression by `cel_evaluation.py`, and for many one after the other by `cel_worker.py`.

It is a process of its own because the library has no limit on what an expression may cost and holds the interpreter's lock while it
evaluates: a thread could not be stopped, and would stop everything else meanwhile. It imports nothing of this package, so that it starts
in a few hundredths of a second.
"""

from __future__ import annotations

import json
import signal
import sys
from types import ModuleType
from typing import Any


def main() -> None:
    """Answer each line with the type of the result, and the result itself when it is a bool; or with what went wrong."""
    _limit(cpu_s_max=int(sys.argv[1]), memory_bytes_max=int(sys.argv[2]))
    deadline_s = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    # The library's command line, which nothing here needs, imports ten times as much as the library itself.
    sys.modules["cel.cli"] = ModuleType("cel.cli")
    for line in sys.stdin.buffer:
        _end_in(deadline_s)
        print(json.dumps(_answer(json.loads(line))), flush=True)
        _end_in(0.0)


def _end_in(deadline_s: float) -> None:
    """The kernel ends the process after this time, also in the middle of the library; 0 takes that back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, deadline_s)


def _answer(asked: dict[str, Any]) -> dict[str, object]:
    import cel

    try:
        answer = cel.evaluate(asked["expression"], asked["documents"])
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError) as problem:  # everything that the library raises for a bad expression
        return {"problem": (str(problem).splitlines() or [type(problem).__name__])[0][:300]}
    return {"type": type(answer).__name__, "answer": answer if isinstance(answer, bool) else None}


def _limit(cpu_s_max: int, memory_bytes_max: int) -> None:
    try:
        import resource
    except ImportError:  # there is none on Windows; the deadline holds there alone
        return
    for kind, most in ((resource.RLIMIT_CPU, cpu_s_max), (resource.RLIMIT_AS, memory_bytes_max)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main()
