"""What a replay of many decisions came to: counts, and how far it came. Small, however long the history is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from stella_pipelines.cli.exits import Exit
from stella_pipelines.promotions.past_decisions import Looked
from stella_pipelines.promotions.replay import ReplayReport
from stella_pipelines.promotions.what_if import WhatIf

Result = Literal["equal", "different", "stays", "changes", "cannot_be_judged", "damaged"]
OPEN_QUESTIONS_MAX: Final = 50
"""So many reasons why decisions cannot be judged are told apart; the rest is counted together."""
OTHERS: Final = ("several environments", "Other reasons.")


@dataclass
class OpenQuestion:
    """One reason why decisions cannot be judged, how many, and one of them."""

    count: int
    first: str


@dataclass
class Tally:
    """Counts as the replay goes on. `extent`: how many decisions there are to cover, by environment."""

    extent: Mapping[str, int]
    results: Counter[Result] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many decisions would go from which outcome to which."""
    covered: Counter[str] = field(default_factory=Counter)
    up_to: dict[str, int] = field(default_factory=dict)
    questions: dict[tuple[str, str], OpenQuestion] = field(default_factory=dict)

    def count(self, looked: Looked[ReplayReport] | Looked[WhatIf]) -> Result:
        """Take one decision in."""
        result = result_of(looked)
        self.results[result] += 1
        self.covered[looked.environment] += 1
        self.up_to[looked.environment] = looked.sequence
        if isinstance(looked.answer, WhatIf):
            self._count_what_if(looked.packet_id, looked.answer)
        return result

    @property
    def total(self) -> int:
        """How many decisions there are."""
        return sum(self.extent.values())

    @property
    def complete(self) -> bool:
        """Whether every one of them was covered."""
        return self.covered.total() == self.total

    def exit(self) -> Exit:
        """What the exit code says about it; the gravest first."""
        if self.results["damaged"] or self.results["different"]:
            return Exit.FAILED
        if not self.complete:
            return Exit.REFUSED
        return Exit.WAITING if self.results["changes"] or self.results["cannot_be_judged"] else Exit.DONE

    def document(self) -> dict[str, object]:
        """The summary as JSON data."""
        places = {name: {"decisions": count, "covered": self.covered[name], "up_to": self.up_to.get(name)} for name, count in self.extent.items()}
        open_questions = [{"environment": place, "why": why, "decisions": one.count, "first": one.first} for (place, why), one in self.questions.items()]
        return {
            "complete": self.complete,
            "decisions": self.total,
            "covered": self.covered.total(),
            "results": dict(self.results),
            "outcomes": dict(self.outcomes),
            "cannot_be_judged": open_questions,
            "environments": places,
        }

    def _count_what_if(self, packet_id: str, answer: WhatIf) -> None:
        if answer.answer == "changes":
            self.outcomes[f"{answer.before} → {answer.after}"] += 1
        for why in answer.reasons if answer.answer == "cannot_be_judged" else ():
            key = (answer.environment, why)
            if key not in self.questions and len(self.questions) >= OPEN_QUESTIONS_MAX:
                key = OTHERS
            self.questions.setdefault(key, OpenQuestion(0, packet_id)).count += 1


def result_of(looked: Looked[ReplayReport] | Looked[WhatIf]) -> Result:
    """The word for what came out."""
    match looked.answer:
        case ReplayReport(byte_equal=equal):
            return "equal" if equal else "different"
        case WhatIf(answer=answer):
            return answer
    return "damaged"
