"""Every gate decision that is worth reading, one JSON file each under `cases/gates/<kind>/`. This is the one collector.

A security case names sample reports of `tests/data/reports/` (written by hand in the shape of the tools' output),
so that the readers are part of what it shows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.core.clock import format_instant, parse_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.promotions.gates.judging import judge
from stella_pipelines.promotions.gates.port import GateInputs, GivenReport
from stella_pipelines.promotions.gates.registry import gate_kinds, kind_named
from stella_pipelines.promotions.gates.security import read_report

CASES = Path(__file__).parent / "cases" / "gates"
REPORTS = Path(__file__).parents[1] / "data" / "reports"
FILES = sorted(CASES.glob("*/*.json"))


def facts_of(case: dict[str, Any]) -> dict[str, Any]:
    """The case's facts; given reports are read as the gate reads them."""
    if "reports" not in case:
        return dict(case["facts"])
    return {**case["facts"], "reports": [_read(number, given) for number, given in enumerate(case["reports"])]}


def _read(number: int, given: dict[str, str]) -> dict[str, Any]:
    content = (REPORTS / given["file"]).read_bytes()
    report = GivenReport(id=f"rpt_{number}", kind=given["kind"], blob=Digest.of(content), given_at=parse_instant(given["given_at"]), content=content)
    return read_report(report).document()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_gate_judges_as_its_case_file_says(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    verdict = judge(kind_named(gate_kinds(), case["kind"]), GateInputs(name="sign_off", kind=case["kind"], facts=facts_of(case)))
    expected, said = case["expect"], "\n".join(verdict.reasons)
    assert verdict.verdict == expected["verdict"], said
    assert [part for part in expected["reasons_include"] if part not in said] == [], said
    assert [part for part in expected["would_change_include"] if part not in "\n".join(verdict.would_change)] == [], verdict.would_change
    assert (format_instant(verdict.wait_until) if verdict.wait_until else None) == expected["wait_until"]
    assert list(verdict.approvers) == expected["approvers"]
    assert verdict.verdict == "allow" or verdict.would_change, "whoever is not let through is told what would change that"


def test_every_built_in_kind_has_cases_for_what_it_can_answer() -> None:
    answers: dict[str, set[str]] = {}
    for path in FILES:
        case = json.loads(path.read_text(encoding="utf-8"))
        assert case["kind"] == path.parent.name
        answers.setdefault(case["kind"], set()).add(case["expect"]["verdict"])
    assert set(answers) == set(gate_kinds())
    assert {kind: sorted(found) for kind, found in answers.items()} == {
        "approval": ["allow", "deny", "error", "wait"],
        "freeze_window": ["allow", "deny", "wait"],
        "policy": ["allow", "deny", "error"],
        "previous_environment": ["allow", "deny", "error", "wait"],
        "security": ["allow", "deny", "error"],
    }


def test_every_sample_report_is_used_by_a_case() -> None:
    used = {given["file"] for path in FILES for given in json.loads(path.read_text(encoding="utf-8")).get("reports", [])}
    assert {path.name for path in REPORTS.glob("*.json")} == used
