"""The program that evaluates one CEL expression and ends: a document on its input, an answer on its output. Started by `cel_evaluation.py`.

It is a process of its own because the library has no limit on what an expression may cost and holds the interpreter's lock while it
evaluates: a thread could not be stopped, and would stop everything else meanwhile. It imports nothing of this package, so that it starts
in a few hundredths of a second.
"""

from __future__ import annotations

import json
import sys
from types import ModuleType


def main() -> None:
    """Answer with the type of the result, and the result itself when it is a bool; or with what went wrong."""
    _limit(cpu_s_max=int(sys.argv[1]), memory_bytes_max=int(sys.argv[2]))
    asked = json.load(sys.stdin)
    # The library's command line, which nothing here needs, imports ten times as much as the library itself.
    sys.modules["cel.cli"] = ModuleType("cel.cli")
    import cel

    try:
        answer = cel.evaluate(asked["expression"], asked["documents"])
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError) as problem:  # everything that the library raises for a bad expression
        said: dict[str, object] = {"problem": (str(problem).splitlines() or [type(problem).__name__])[0][:300]}
    else:
        said = {"type": type(answer).__name__, "answer": answer if isinstance(answer, bool) else None}
    json.dump(said, sys.stdout)


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
