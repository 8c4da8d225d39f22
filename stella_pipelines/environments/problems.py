"""What is wrong with an estate: each problem with its place, and the one error that carries them all."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Sequence
from typing import Final

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value

PROBLEMS_SHOWN_MAX: Final = 50
"""Problems that the message of one error lists; `problems` has them all."""
WORDS_SHOWN_MAX: Final = 30
"""Known words that one suggestion lists."""

Path = tuple[str | int, ...]
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")


class Problem(Value):
    """One thing that is wrong. `line` and `column` count from 1; both are 0 for an estate that did not come from a file."""

    source: str
    line: int = 0
    column: int = 0
    path: str = ""
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class InvalidEstate(StellaError):
    """An estate file, or an estate made by a program, breaks its rules; every problem is listed with its place."""

    code = "VAL_ESTATE_INVALID"

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        shown = "\n".join(f"  {problem}" for problem in self.problems[:PROBLEMS_SHOWN_MAX])
        more = len(self.problems) - PROBLEMS_SHOWN_MAX
        rest = f"\n  … and {more} more" if more > 0 else ""
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__(f"{source} has {count}:\n{shown}{rest}\n", next_step="Correct them and try again; docs/estate.md describes every key.")


def dotted(path: Path) -> str:
    """A path as people read it: `environments.prod.promotes_from[0]`, `registries["127.0.0.1:5000"].path`."""
    text = "".join(f".{part}" if isinstance(part, str) and _PLAIN.fullmatch(part) else f"[{json.dumps(part, ensure_ascii=False)}]" for part in path)
    return text.removeprefix(".")


def suggestion(word: str, known: Collection[str]) -> str:
    """` Did you mean 'x'?` when a known word is near, and which words are known."""
    near = nearest(word, known)
    allowed = ", ".join(sorted(known)[:WORDS_SHOWN_MAX]) or "nothing"
    more = ", …" if len(known) > WORDS_SHOWN_MAX else ""
    return (f" Did you mean '{near}'?" if near else "") + f" Allowed here: {allowed}{more}."


def nearest(word: str, known: Collection[str]) -> str | None:
    """The known word that is most like `word`, when one is."""
    return next(iter(difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6)), None)
