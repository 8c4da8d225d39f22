"""Grype's JSON report of a container image, as `grype --output json` writes it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from stella_pipelines.promotions.gates.reports.finding import Finding, ScanReport, Severity, digests_in, platform_of
from stella_pipelines.promotions.gates.reports.wire import FINDINGS_MAX, Wire, malformed, read, stated_time

KIND: Final = "grype"


class _Vulnerability(Wire):
    id: Annotated[str, Field(min_length=1)]
    severity: Literal["Critical", "High", "Medium", "Low", "Negligible", "Unknown", ""] = "Unknown"


class _Related(Wire):
    id: str


class _Artifact(Wire):
    name: Annotated[str, Field(min_length=1)]
    version: str
    purl: str | None = None


class _Match(Wire):
    vulnerability: _Vulnerability
    related: Annotated[list[_Related] | None, Field(alias="relatedVulnerabilities")] = None
    artifact: _Artifact


class _Target(Wire):
    user_input: Annotated[str, Field(alias="userInput")]
    image_id: Annotated[str | None, Field(alias="imageID")] = None
    manifest_digest: Annotated[str | None, Field(alias="manifestDigest")] = None
    repo_digests: Annotated[list[str] | None, Field(alias="repoDigests")] = None
    architecture: str | None = None
    os: str | None = None


class _Source(Wire):
    type: Literal["image"]
    target: _Target


class _Descriptor(Wire):
    name: Literal["grype"]
    version: str
    timestamp: str | None = None


class _Report(Wire):
    matches: list[_Match]
    source: _Source
    descriptor: _Descriptor


def read_grype(content: bytes) -> ScanReport:
    """The findings of a report, and the digests of the image that it is about."""
    report = read(content, _Report, KIND)
    if len(report.matches) > FINDINGS_MAX:
        raise malformed(KIND, f"it has {len(report.matches)} findings, more than {FINDINGS_MAX}")
    target = report.source.target
    return ScanReport(
        scanner=KIND,
        subjects=digests_in(target.user_input, target.image_id, target.manifest_digest, *(target.repo_digests or ())),
        platform=platform_of(target.os, target.architecture),
        created_at=stated_time(report.descriptor.timestamp, "descriptor.timestamp", KIND),
        findings=tuple(_finding(match) for match in report.matches),
    )


def _finding(match: _Match) -> Finding:
    artifact, vulnerability = match.artifact, match.vulnerability
    aliases = sorted({related.id for related in match.related or ()} - {vulnerability.id})
    severity = Severity(vulnerability.severity.lower() or "unknown")
    return Finding(id=vulnerability.id, package=artifact.name, version=artifact.version, severity=severity, purl=artifact.purl, aliases=tuple(aliases))
