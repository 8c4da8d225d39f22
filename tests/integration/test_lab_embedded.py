"""The embedded lab: the same estate, on folders, with nothing but Python."""

from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.integrations.registries.resolve import resolve_image
from stella_pipelines.lab.lab import Lab
from stella_pipelines.promotions.gates.reports.cyclonedx_vex import read_vex
from stella_pipelines.promotions.gates.reports.finding import Severity
from stella_pipelines.promotions.gates.reports.trivy import read_trivy

pytest_plugins = ("tests.support.lab",)


def test_the_estate_declares_folders(embedded_lab: Lab) -> None:
    estate = parse_estate(embedded_lab.estate_path.read_text(), str(embedded_lab.estate_path))
    assert {target.name: target.kind for target in estate.targets} == dict.fromkeys(embedded_lab.hosts, "process")
    assert [target.address for target in estate.targets_of("prod")] == [embedded_lab.hosts[name].address for name in ("prod-1", "prod-2")]


def test_a_tag_resolves_to_the_published_digests(embedded_lab: Lab) -> None:
    for version, reference in embedded_lab.images.items():
        resolved = resolve_image(embedded_lab.registry(), reference)
        assert resolved.digest == embedded_lab.published[version].digest
        assert len(resolved.platforms) == 2


def test_the_reports_speak_about_the_published_digests(embedded_lab: Lab) -> None:
    found = {version: read_trivy((embedded_lab.reports / f"{version}.trivy.json").read_bytes()) for version in embedded_lab.images}
    assert {version: [finding.severity for finding in report.findings] for version, report in found.items()} == {"v1": [], "v2": [Severity.CRITICAL], "v3": []}
    for version, report in found.items():
        assert embedded_lab.published[version].digest in report.subjects
        assert embedded_lab.platform_image(version).digest in report.subjects


def test_the_vex_document_answers_the_finding(embedded_lab: Lab) -> None:
    (finding,) = read_trivy((embedded_lab.reports / "v2.trivy.json").read_bytes()).findings
    (statement,) = read_vex((embedded_lab.reports / "v2.vex.json").read_bytes())
    assert statement.vulnerability == finding.id
    assert statement.state.value == "not_affected"
    assert statement.justification
