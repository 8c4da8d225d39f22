"""The summary of a long replay: small however long it is, and with the gravest exit code."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.replay_tally import OPEN_QUESTIONS_MAX, OTHERS, Tally
from stella_pipelines.cli.replay_words import say_tally
from stella_pipelines.cli.streamed_document import StreamedDocument
from stella_pipelines.evidence.errors import StoredPacketDamaged
from stella_pipelines.promotions.past_decisions import Looked
from stella_pipelines.promotions.what_if import WhatIf
from tests.support.promotions import NOW, digest

RELEASE = {"name": "shop-1.0.0", "digest": digest("shop")}


def looked(after: str | None, why: str = "x", number: int = 1) -> Looked[WhatIf]:
    answer = {None: "cannot_be_judged", "allow": "stays"}.get(after, "changes")
    about = {"environment": "prod", "release": RELEASE, "decided_at": NOW, "before": "allow", "gates": (), "gone": ()}
    return Looked(f"evd_{number}", "prod", number, WhatIf.model_validate({**about, "answer": answer, "after": after, "reasons": (why,)}), None)


def damaged() -> Looked[WhatIf]:
    return Looked("evd_1", "prod", 1, None, StoredPacketDamaged("It is broken.", next_step="Restore it."))


@pytest.mark.parametrize(
    ("seen", "decisions", "expected"),
    [
        ([], 0, Exit.DONE),
        ([looked("allow")], 1, Exit.DONE),
        ([looked("allow"), looked("wait")], 2, Exit.WAITING),
        ([looked("allow"), looked(None)], 2, Exit.WAITING),
        ([looked("deny"), looked(None)], 3, Exit.REFUSED),
        ([looked("deny"), damaged()], 2, Exit.FAILED),
        ([damaged()], 9, Exit.FAILED),
    ],
)
def test_the_gravest_comes_first(seen: list[Looked[WhatIf]], decisions: int, expected: Exit) -> None:
    tally = Tally({"prod": decisions} if decisions else {})
    for one in seen:
        tally.count(one)
    assert tally.exit() is expected
    assert tally.complete is (len(seen) == decisions)


def test_reasons_are_told_apart_up_to_a_number() -> None:
    tally = Tally({"prod": 3 * OPEN_QUESTIONS_MAX})
    for number in range(3 * OPEN_QUESTIONS_MAX):
        tally.count(looked(None, f"reason {number}", number))
    assert len(tally.questions) == OPEN_QUESTIONS_MAX + 1
    assert tally.questions[OTHERS].count == 2 * OPEN_QUESTIONS_MAX
    words = io.StringIO()
    say_tally(Output(console=Console(file=words, width=200)), tally, tried=True)
    assert f"100 of several environments: Other reasons. The first is evd_{OPEN_QUESTIONS_MAX}." in words.getvalue()


@pytest.mark.parametrize("items", [[], [{"a": 1}], [{"a": "ü\n"}, {"b": [2]}]])
def test_a_growing_document_is_one_document(items: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    document, silent = StreamedDocument("found", enabled=True), StreamedDocument("found", enabled=False)
    for one in (document, silent):
        for item in items:
            one.add(item)
        one.end({"summary": {"count": len(items)}, "error": None})
    assert json.loads(capsys.readouterr().out) == {"found": items, "summary": {"count": len(items)}, "error": None}
