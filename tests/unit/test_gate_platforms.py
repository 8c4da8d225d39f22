"""A word about one platform's image says nothing about another platform's: findings are counted image by image."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import SecurityGateConfig
from stella_pipelines.promotions.gates.port import GateInputs, GateVerdict, GivenReport
from stella_pipelines.promotions.gates.reports.assessment import AssessedComponent
from stella_pipelines.promotions.gates.security import SecurityGate, SecurityInputs, read_report
from stella_pipelines.releases.model import PlatformImage
from tests.support.promotions import NOW, digest

AMD, ARM = (PlatformImage(platform=f"linux/{one}", digest=digest(one), config_digest=digest(f"config {one}")) for one in ("amd64", "arm64"))
WEB = AssessedComponent(name="web", digest=digest("index"), images=(AMD, ARM))
XZ = "CVE-2024-3094"


def trivy(image: PlatformImage, severity: str | None = "CRITICAL") -> bytes:
    """A scan of one platform's image that found the backdoored xz, or nothing."""
    system, architecture = image.platform.split("/")
    found = {"VulnerabilityID": XZ, "PkgName": "liblzma5", "InstalledVersion": "5.6.0", "Severity": severity}
    document = {
        "SchemaVersion": 2,
        "ArtifactName": f"web@{image.digest}",
        "ArtifactType": "container_image",
        "CreatedAt": "2026-03-02T11:00:00Z",
        "Metadata": {"ImageConfig": {"os": system, "architecture": architecture}},
        "Results": [{"Target": "debian", "Class": "os-pkgs", "Vulnerabilities": [found] if severity else []}],
    }
    return json.dumps(document).encode()


def vex(*about: Digest, state: str = "not_affected") -> bytes:
    """A statement about images by digest; about none of them it is about the whole release."""
    statement: dict[str, Any] = {"id": XZ, "analysis": {"state": state, "justification": "code_not_present", "detail": "built with 5.4"}}
    if about:
        statement["affects"] = [{"ref": f"pkg:oci/web@{one.replace(':', '%3A')}"} for one in about]
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "vulnerabilities": [statement]}).encode()


def judged(*contents: bytes) -> GateVerdict:
    kinds = ["cyclonedx_vex" if b"CycloneDX" in content else "trivy" for content in contents]
    given = [
        GivenReport(id=f"rpt_{number}", kind=kind, blob=Digest.of(content), given_at=NOW, content=content)
        for number, (kind, content) in enumerate(zip(kinds, contents, strict=True))
    ]
    config = SecurityGateConfig(kind="security", max_critical=0, max_high=0)
    facts = SecurityInputs(release="shop-2.0.0", config=config, components=(WEB,), reports=tuple(map(read_report, given)), now=NOW)
    return SecurityGate().judge(GateInputs(name="vulnerabilities", kind="security", facts=facts.document()))


@pytest.mark.parametrize("about", [AMD.digest, AMD.config_digest])
def test_a_statement_about_one_platform_takes_nothing_out_of_another(about: Digest) -> None:
    verdict = judged(trivy(AMD, None), trivy(ARM), vex(about))
    assert verdict.verdict == "deny"
    assert "critical: 1 of at most 0" in verdict.reasons[0]


def test_a_finding_counts_while_one_image_has_it_and_it_is_said_which() -> None:
    verdict = judged(trivy(AMD), trivy(ARM), vex(AMD.digest))
    assert verdict.verdict == "deny"
    assert f"{XZ} in liblzma5 5.6.0 (web on linux/arm64)" in verdict.reasons[0]
    assert any("VEX takes it out for the other platforms only" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("about", [(WEB.digest,), (AMD.digest, ARM.config_digest), ()])
def test_the_index_or_every_image_or_the_release_speaks_for_all_of_them(about: tuple[Digest, ...]) -> None:
    verdict = judged(trivy(AMD), trivy(ARM), vex(*about))
    assert verdict.verdict == "allow"
    assert "critical: 0 of at most 0." in verdict.reasons[0]


def test_one_vulnerability_in_two_images_counts_once_at_its_gravest_where_it_counts() -> None:
    assert "critical: 1 of at most 0" in judged(trivy(AMD, "LOW"), trivy(ARM)).reasons[0]
    grave_one_accepted = judged(trivy(AMD, "LOW"), trivy(ARM), vex(ARM.digest))
    assert grave_one_accepted.verdict == "allow"
    assert any(reason.startswith("low: 1 ") for reason in grave_one_accepted.reasons)


def test_the_newest_statement_about_an_image_counts_for_that_image() -> None:
    withdrawn = judged(trivy(AMD), trivy(ARM), vex(WEB.digest), vex(ARM.digest, state="exploitable"))
    assert withdrawn.verdict == "deny"
    assert any("(web on linux/arm64) counts: VEX says exploitable" in reason for reason in withdrawn.reasons)
