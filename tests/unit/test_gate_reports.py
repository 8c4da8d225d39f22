"""The readers of security reports: strict about what is used, indifferent to what is not, and pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.promotions.gates.reports.cyclonedx_vex import VersionMark, VersionStatus, VexState, read_vex
from stella_pipelines.promotions.gates.reports.finding import Finding, Severity, digest_in
from stella_pipelines.promotions.gates.reports.grype import read_grype
from stella_pipelines.promotions.gates.reports.matching import Spoken, spoken_about
from stella_pipelines.promotions.gates.reports.trivy import read_trivy
from stella_pipelines.promotions.gates.reports.vers import contains
from stella_pipelines.promotions.gates.reports.wire import MalformedReport
from tests.support.promotions import digest

REPORTS = Path(__file__).parents[1] / "data" / "reports"
JSON = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def sample(name: str) -> dict[str, Any]:
    return dict(json.loads((REPORTS / name).read_bytes()))


def test_trivy_says_which_image_and_what_was_found() -> None:
    report = read_trivy((REPORTS / "trivy-web-critical.json").read_bytes())
    assert set(report.subjects) == {digest("web linux/amd64"), digest("web config amd64")}
    assert report.platform == "linux/amd64"
    assert report.created_at is not None
    assert [(one.id, one.package, one.severity) for one in report.findings] == [
        ("CVE-2026-1111", "libssl3", Severity.CRITICAL),
        ("CVE-2026-2222", "zlib1g", Severity.MEDIUM),
    ]


@pytest.mark.parametrize(
    ("results", "looked"),
    [
        ([{"Target": "web (debian 12.5)", "Class": "os-pkgs", "Type": "debian"}], True),
        ([{"Target": "app/go", "Class": "lang-pkgs", "Type": "gobinary"}], True),
        ([{"Target": "x", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "x", "Severity": "LOW"}]}], True),
        ([{"Target": "/app/key.pem", "Class": "secret"}], False),
        ([], False),
        (None, False),
    ],
)
def test_trivy_looked_only_where_it_says_so(results: list[dict[str, Any]] | None, looked: bool) -> None:
    document = {**sample("trivy-web-clean.json"), "Results": results}
    assert read_trivy(json.dumps(document).encode()).looked is looked


def test_trivy_leaves_the_results_out_when_it_could_not_look() -> None:
    document = sample("trivy-web-clean.json")
    del document["Results"]
    report = read_trivy(json.dumps(document).encode())
    assert (report.findings, report.looked) == ((), False)


def test_grype_says_which_image_what_was_found_and_its_other_names() -> None:
    report = read_grype((REPORTS / "grype-web-high.json").read_bytes())
    assert set(report.subjects) == {digest("web linux/amd64"), digest("web config amd64"), digest("web index")}
    assert [(one.id, one.aliases, one.severity) for one in report.findings] == [("GHSA-xxxx-yyyy-zzzz", ("CVE-2026-4444",), Severity.HIGH)]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("trivy-web-clean.json", {"SchemaVersion": 1}),
        ("trivy-web-clean.json", {"ArtifactType": "filesystem"}),
        ("trivy-web-clean.json", {"ArtifactName": None}),
        ("trivy-web-clean.json", {"CreatedAt": "yesterday"}),
        ("trivy-web-clean.json", {"CreatedAt": "2026-03-01T08:00:00"}),
        ("trivy-web-clean.json", {"Results": {}}),
        ("trivy-web-clean.json", {"Results": [{"Target": "x", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "x"}]}]}),
        ("grype-web-high.json", {"matches": None}),
        ("grype-web-high.json", {"source": {"type": "directory", "target": "/app"}}),
        ("grype-web-high.json", {"descriptor": {"name": "other", "version": "1"}}),
        ("vex-web-not-affected.json", {"specVersion": "2.0"}),
        ("vex-web-not-affected.json", {"vulnerabilities": [{"id": "CVE-1", "analysis": {"state": "fine"}}]}),
        ("vex-web-not-affected.json", {"vulnerabilities": [{"id": "", "analysis": {"state": "resolved"}}]}),
    ],
)
def test_another_shape_is_refused(name: str, change: dict[str, Any]) -> None:
    content = json.dumps({**sample(name), **change}).encode()
    reader = {"trivy": read_trivy, "grype": read_grype, "vex": read_vex}[name.split("-", maxsplit=1)[0]]
    with pytest.raises(MalformedReport):
        reader(content)


def test_a_key_twice_is_refused() -> None:
    content = (REPORTS / "trivy-web-clean.json").read_bytes().replace(b'"SchemaVersion": 2,', b'"SchemaVersion": 2, "SchemaVersion": 2,')
    with pytest.raises(MalformedReport, match="twice"):
        read_trivy(content)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_malformed_and_never_an_exception(content: bytes) -> None:
    for reader in (read_trivy, read_grype, read_vex):
        with pytest.raises(MalformedReport):
            reader(content)


def test_deep_nesting_is_malformed() -> None:
    with pytest.raises(MalformedReport):
        read_vex(b"[" * 100_000)


def test_vex_without_an_analysis_says_nothing() -> None:
    document = {**sample("vex-web-not-affected.json"), "vulnerabilities": [{"id": "CVE-1"}]}
    assert read_vex(json.dumps(document).encode()) == ()


def test_vex_refs_resolve_to_components_of_the_document() -> None:
    component = {"bom-ref": "lib", "purl": "pkg:deb/debian/zlib1g@1.2", "type": "library", "name": "zlib1g"}
    affected = [{"ref": "lib", "versions": [{"version": "1.2", "status": "unaffected"}, {"range": "vers:deb/<1.3"}]}]
    document = {
        **sample("vex-web-not-affected.json"),
        "components": [component],
        "vulnerabilities": [{"id": "CVE-1", "analysis": {"state": "resolved"}, "affects": affected}],
    }
    statement = read_vex(json.dumps(document).encode())[0]
    assert (statement.state, statement.justification) == (VexState.RESOLVED, "")
    assert statement.affects is not None
    assert statement.affects[0].purl == "pkg:deb/debian/zlib1g@1.2"
    assert statement.affects[0].versions == (
        VersionMark(status=VersionStatus.UNAFFECTED, version="1.2"),
        VersionMark(status=VersionStatus.AFFECTED, range="vers:deb/<1.3"),  # what has no status is affected, as the specification says
    )


ZLIB = "pkg:deb/debian/zlib1g"
UNAFFECTED, AFFECTED, UNKNOWN = VersionStatus.UNAFFECTED, VersionStatus.AFFECTED, VersionStatus.UNKNOWN


def spoken(*versions: dict[str, str], ref: str = ZLIB) -> Spoken | None:
    """What a statement with these versions says about zlib1g 1.2."""
    affects = [{"ref": ref, "versions": list(versions)}]
    document = {**sample("vex-web-not-affected.json"), "vulnerabilities": [{"id": "CVE-1", "analysis": {"state": "not_affected"}, "affects": affects}]}
    finding = Finding(id="CVE-1", package="zlib1g", version="1.2", severity=Severity.HIGH, purl=f"{ZLIB}@1.2?arch=amd64")
    return spoken_about(read_vex(json.dumps(document).encode())[0], finding, "web", {digest("web index")})


@pytest.mark.parametrize(
    ("versions", "status"),
    [
        ([{"version": "1.2", "status": "unaffected"}], UNAFFECTED),
        ([{"version": "1.2", "status": "affected"}], AFFECTED),
        ([{"version": "1.2", "status": "unknown"}], UNKNOWN),
        ([{"version": "1.2"}], AFFECTED),
        ([{"version": "1.2", "status": "unaffected"}, {"version": "1.2", "status": "affected"}], AFFECTED),
        ([{"version": "1.2", "status": "unaffected"}, {"range": "vers:deb/<1.3", "status": "affected"}], UNAFFECTED),
        ([{"range": "vers:deb/1.1|1.2", "status": "unaffected"}], UNAFFECTED),
        ([{"range": "vers:deb/*", "status": "unaffected"}], UNAFFECTED),
        ([{"range": "vers:deb/*", "status": "affected"}], AFFECTED),
        ([{"range": "vers:deb/>=1.0", "status": "unaffected"}], UNKNOWN),
        ([{"range": "everything", "status": "unaffected"}], UNKNOWN),
        ([{"status": "unaffected"}], UNKNOWN),
    ],
)
def test_vex_tells_versions_apart(versions: list[dict[str, str]], status: VersionStatus) -> None:
    assert spoken(*versions) == Spoken(status=status)


def test_vex_about_other_versions_says_nothing_about_this_one() -> None:
    assert spoken({"version": "1.3", "status": "unaffected"}, {"range": "vers:deb/1.1|1.4", "status": "unaffected"}) is None
    assert spoken() is None


def test_vex_about_an_image_must_mark_all_of_its_versions_well() -> None:
    image = f"pkg:oci/web@{digest('web index')}"
    assert spoken({"version": "2.0.0", "status": "unaffected"}, ref=image) == Spoken(status=UNAFFECTED)
    assert spoken({"version": "2.0.0", "status": "unaffected"}, {"version": "2.0.1"}, ref=image) == Spoken(status=AFFECTED)


@pytest.mark.parametrize(
    ("vers_range", "answer"),
    [
        ("vers:npm/1.2", True),
        ("vers:npm/1%2E2", True),
        ("vers:npm/1.1|1.3", False),
        ("vers:npm/1.1|<2", None),
        ("vers:npm/", None),
        ("npm/1.2", None),
        ("", None),
    ],
)
def test_a_range_is_evaluated_without_an_order_of_versions_or_not_at_all(vers_range: str, answer: bool | None) -> None:
    assert contains(vers_range, "1.2") is answer


@pytest.mark.parametrize("text", [None, "", "web:2.0.0", f"web@{digest('x')}x", f"x{digest('x')}", f"web@{str(digest('x')).upper()}"])
def test_only_a_whole_digest_is_a_digest(text: str | None) -> None:
    assert digest_in(text) is None
