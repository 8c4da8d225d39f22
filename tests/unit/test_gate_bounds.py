"""Whatever a report or a gate says, the verdict that is stored, shown and sealed has a bounded size."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Estate, Gate, PluginGateConfig, SecurityGateConfig
from stella_pipelines.promotions.approvals import Approval
from stella_pipelines.promotions.gates.judging import LINE_CHARACTERS_MAX, LINES_MAX, gather, judge
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateVerdict, GivenReport, NamedDigest
from stella_pipelines.promotions.gates.reports.assessment import AssessedComponent, ReadReport
from stella_pipelines.promotions.gates.reports.cyclonedx_vex import JUSTIFICATION_CHARACTERS_MAX, read_vex
from stella_pipelines.promotions.gates.reports.grype import read_grype
from stella_pipelines.promotions.gates.reports.trivy import read_trivy
from stella_pipelines.promotions.gates.reports.wire import MalformedReport
from stella_pipelines.promotions.gates.security import NOTES_MAX, SecurityGate, SecurityInputs, read_report
from stella_pipelines.promotions.proven import ProvenDeployment
from tests.support.promotions import NOW, PLAN, digest, environment, promotion, shop

VERDICT_BYTES_MAX = 256 * 1024
WEB = shop().release.components[0]


class NoFacts:
    """A window with nothing behind it."""

    def approvals(self) -> tuple[Approval, ...]:
        return ()

    def last_proven(self, environment: str) -> ProvenDeployment | None:
        return None

    def reports(self) -> tuple[GivenReport, ...]:
        return ()


class Talkative:
    """A plugin's gate that says whatever it was given, which may be very much."""

    kind = "talkative"

    def __init__(self, said: GateVerdict, materials: tuple[NamedDigest, ...] = ()) -> None:
        self.said = said
        self.materials = materials

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        return GateInputs(name=gate.name, kind=self.kind, materials=self.materials)

    def judge(self, inputs: GateInputs) -> GateVerdict:
        return self.said


GATE = Gate(name="talks", config=PluginGateConfig(gate="talkative", config={}))
CONTEXT = GateContext(shop(), environment(), Estate(), promotion(), PLAN, digest("plan"), NOW, NoFacts())


@pytest.mark.parametrize(
    "lines",
    [("x" * 20_000_000,), ("a moderate line, again and again",) * 600_000],
    ids=["one line of 20 MB", "many lines"],
)
@pytest.mark.parametrize("answer", ["allow", "deny", "wait", "error"])
def test_a_gate_that_says_20_mb_is_heard_in_part(lines: tuple[str, ...], answer: str) -> None:
    said = GateVerdict.model_validate({"verdict": answer, "reasons": lines, "would_change": lines})
    kind = Talkative(said)
    verdict = judge(kind, gather(kind, GATE, CONTEXT))
    assert verdict.verdict == answer
    for kept in (verdict.reasons, verdict.would_change):
        assert 1 <= len(kept) <= LINES_MAX
        assert max(map(len, kept)) <= LINE_CHARACTERS_MAX
        assert kept[0][:10] == lines[0][:10]
    assert len(verdict.canonical()) < VERDICT_BYTES_MAX


def test_what_was_left_out_is_counted() -> None:
    kind = Talkative(GateVerdict(verdict="deny", reasons=tuple(f"reason {number}" for number in range(LINES_MAX + 10))))
    assert judge(kind, GateInputs(name="x", kind="talkative")).reasons[-1] == "… and 11 more."


def test_a_bounded_verdict_stays_as_it_is() -> None:
    said = GateVerdict(verdict="deny", reasons=("no",) * LINES_MAX, would_change=("x" * LINE_CHARACTERS_MAX,), approvers=("ann",))
    assert judge(Talkative(said), GateInputs(name="x", kind="talkative")) == said


@pytest.mark.parametrize("approvers", [("x" * 20_000_000,), ("ann",) * 1_000_000])
def test_approvers_are_not_left_out_silently(approvers: tuple[str, ...]) -> None:
    kind = Talkative(GateVerdict(verdict="allow", reasons=(), approvers=approvers))
    verdict = judge(kind, GateInputs(name="x", kind="talkative"))
    assert (verdict.verdict, verdict.approvers) == ("error", ())
    assert len(verdict.canonical()) < VERDICT_BYTES_MAX


def test_a_failed_gathering_says_a_bounded_amount_too() -> None:
    inputs = GateInputs(name="x", kind="talkative", failure={"what": "w" * 20_000_000, "next_step": "n" * 20_000_000})
    verdict = judge(Talkative(GateVerdict(verdict="allow", reasons=())), inputs)
    assert verdict.verdict == "error"
    assert len(verdict.canonical()) < VERDICT_BYTES_MAX


@pytest.mark.parametrize("materials", [(NamedDigest(name="x" * 1_000_000, digest=digest("x")),), (NamedDigest(name="x", digest=digest("x")),) * 20_000])
def test_too_many_materials_are_a_failure_to_gather(materials: tuple[NamedDigest, ...]) -> None:
    inputs = gather(Talkative(GateVerdict(verdict="allow", reasons=()), materials), GATE, CONTEXT)
    assert inputs.failure is not None
    assert "materials" in inputs.failure["what"]


# ---------------------------------------------------------------- reports


def trivy(vulnerabilities: list[dict[str, str]], created: str = "2026-03-02T11:00:00Z") -> bytes:
    document = {
        "SchemaVersion": 2,
        "ArtifactName": f"web@{WEB.platforms[0].digest}",
        "ArtifactType": "container_image",
        "CreatedAt": created,
        "Results": [{"Target": "debian", "Class": "os-pkgs", "Vulnerabilities": vulnerabilities}],
    }
    return json.dumps(document).encode()


def grype(timestamp: str) -> bytes:
    source = {"type": "image", "target": {"userInput": f"web@{WEB.platforms[0].digest}"}}
    return json.dumps({"matches": [], "source": source, "descriptor": {"name": "grype", "version": "1", "timestamp": timestamp}}).encode()


def vulnerability(name: str, package: str = "zlib1g") -> dict[str, str]:
    return {"VulnerabilityID": name, "PkgName": package, "InstalledVersion": "1.2", "Severity": "CRITICAL"}


def vex(detail: str, *names: str) -> bytes:
    statements = [{"id": name, "analysis": {"state": "not_affected", "detail": detail}} for name in names]
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "vulnerabilities": statements}).encode()


def read(number: int, kind: str, content: bytes) -> ReadReport:
    return read_report(GivenReport(id=f"rpt_{number}", kind=kind, blob=Digest.of(content), given_at=NOW.replace(minute=number), content=content))


def judged(*reports: ReadReport) -> GateVerdict:
    component = AssessedComponent(name="web", digest=WEB.digest, images=WEB.platforms)
    config = SecurityGateConfig(kind="security", max_critical=0)
    facts = SecurityInputs(release="shop-2.0.0", config=config, components=(component,), reports=reports, now=NOW)
    return SecurityGate().judge(GateInputs(name="vulnerabilities", kind="security", facts=facts.document()))


def test_a_long_justification_is_kept_in_part_and_still_justifies() -> None:
    (statement,) = read_vex(vex("x" * 13_000_000, "CVE-1"))
    assert len(statement.justification) == JUSTIFICATION_CHARACTERS_MAX
    assert statement.justification.endswith("…")


def test_many_findings_with_statements_are_told_in_a_bounded_number_of_notes() -> None:
    names = [f"CVE-2026-{number}" for number in range(2_000)]
    verdict = judged(read(1, "trivy", trivy([vulnerability(name) for name in names])), read(2, "cyclonedx_vex", vex("y" * 10_000, *names)))
    assert verdict.verdict == "allow"
    assert len([reason for reason in verdict.reasons if "does not count" in reason]) == NOTES_MAX
    assert any(f"and {2_000 - NOTES_MAX} more" in reason for reason in verdict.reasons)
    assert len(verdict.canonical()) < VERDICT_BYTES_MAX


def test_names_out_of_a_report_are_shown_in_part() -> None:
    verdict = judged(read(1, "trivy", trivy([vulnerability("CVE-1", "p" * 5_000_000), vulnerability("C" * 5_000_000)])))
    assert verdict.verdict == "deny"
    assert max(map(len, (*verdict.reasons, *verdict.would_change))) < 2_000


@pytest.mark.parametrize("stated", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0987-01-01T00:00:00Z", "1969-12-31T23:59:59Z"])
@pytest.mark.parametrize(("reader", "content"), [(read_trivy, lambda stated: trivy([], stated)), (read_grype, grype)], ids=["trivy", "grype"])
def test_a_time_at_which_nothing_was_scanned_is_malformed(reader: Callable[[bytes], Any], content: Callable[[str], bytes], stated: str) -> None:
    with pytest.raises(MalformedReport, match=stated[:10]):
        reader(content(stated))


def test_the_zero_time_of_go_says_nothing() -> None:
    assert read_trivy(trivy([], "0001-01-01T00:00:00Z")).created_at is None
    assert read_grype(grype("0001-01-01T00:00:00Z")).created_at is None


def test_a_good_report_replaces_one_whose_time_is_out_of_range() -> None:
    bad, good = read(1, "trivy", trivy([], "0001-01-01T00:00:00+23:59")), read(2, "trivy", trivy([]))
    assert judged(bad).verdict == "error"
    assert "it replaces rpt_1" in judged(bad).would_change[0]
    assert judged(bad, good).verdict == "allow"


def test_whatever_a_reader_raises_is_a_problem_of_that_report_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(content: bytes) -> None:
        raise ZeroDivisionError("z" * 10_000_000)

    monkeypatch.setitem(SecurityGate.gather.__globals__["_SCANNERS"], "grype", explode)
    report = read(1, "grype", grype("2026-03-02T11:00:00Z"))
    assert report.problem is not None
    assert report.problem.startswith("ZeroDivisionError: zzz")
    assert len(report.problem) < 1_000
    assert judged(report).verdict == "error"
