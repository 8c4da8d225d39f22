"""Trivy's JSON report (schema version 2) of a container image, as `trivy image --format json` writes it.

What a clean scan looks like: one result for each target in which Trivy looked (`Class` `os-pkgs` or `lang-pkgs`), without `Vulnerabilities`.
Since 0.52 such a result is always written, also without findings (https://github.com/aquasecurity/trivy/discussions/6850). `Results`
itself is `omitempty` in Trivy's `pkg/types/report.go`: it is left out when Trivy found nothing that it could look at, as in an image built
from scratch (https://github.com/aquasecurity/trivy/issues/703), and it names no package class when none was scanned (`--scanners secret`).
That is not a clean scan, and neither is an empty list, which Trivy never writes: such a report assesses nothing.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from stella_pipelines.promotions.gates.reports.finding import Finding, ScanReport, Severity, digests_in, platform_of
from stella_pipelines.promotions.gates.reports.wire import FINDINGS_MAX, Wire, malformed, read, stated_time

KIND: Final = "trivy"
_PACKAGE_CLASSES: Final = ("os-pkgs", "lang-pkgs")


class _Identifier(Wire):
    purl: Annotated[str | None, Field(alias="PURL")] = None


class _Vulnerability(Wire):
    id: Annotated[str, Field(alias="VulnerabilityID", min_length=1)]
    package: Annotated[str, Field(alias="PkgName", min_length=1)]
    version: Annotated[str, Field(alias="InstalledVersion")] = ""
    severity: Annotated[Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN"], Field(alias="Severity")]
    identifier: Annotated[_Identifier, Field(alias="PkgIdentifier")] = _Identifier()


class _Result(Wire):
    target: Annotated[str, Field(alias="Target")]
    result_class: Annotated[str, Field(alias="Class")] = ""
    vulnerabilities: Annotated[list[_Vulnerability] | None, Field(alias="Vulnerabilities")] = None


class _ImageConfig(Wire):
    architecture: str | None = None
    os: str | None = None
    variant: str | None = None


class _Metadata(Wire):
    image_id: Annotated[str | None, Field(alias="ImageID")] = None
    repo_digests: Annotated[list[str] | None, Field(alias="RepoDigests")] = None
    image_config: Annotated[_ImageConfig, Field(alias="ImageConfig")] = _ImageConfig()


class _Report(Wire):
    schema_version: Annotated[Literal[2], Field(alias="SchemaVersion")]
    created_at: Annotated[str | None, Field(alias="CreatedAt")] = None
    artifact_name: Annotated[str, Field(alias="ArtifactName")]
    artifact_type: Annotated[Literal["container_image"], Field(alias="ArtifactType")]
    metadata: Annotated[_Metadata, Field(alias="Metadata")] = _Metadata()
    results: Annotated[list[_Result] | None, Field(alias="Results")] = None


def read_trivy(content: bytes) -> ScanReport:
    """The findings of a report, and the digests of the image that it is about."""
    report = read(content, _Report, KIND)
    findings = tuple(_finding(one) for result in report.results or () for one in result.vulnerabilities or ())
    if len(findings) > FINDINGS_MAX:
        raise malformed(KIND, f"it has {len(findings)} findings, more than {FINDINGS_MAX}")
    metadata = report.metadata
    return ScanReport(
        scanner=KIND,
        subjects=digests_in(report.artifact_name, metadata.image_id, *(metadata.repo_digests or ())),
        platform=platform_of(metadata.image_config.os, metadata.image_config.architecture, metadata.image_config.variant),
        created_at=stated_time(report.created_at, "CreatedAt", KIND),
        findings=findings,
        looked=bool(findings) or any(result.result_class in _PACKAGE_CLASSES for result in report.results or ()),
    )


def _finding(one: _Vulnerability) -> Finding:
    return Finding(id=one.id, package=one.package, version=one.version, severity=Severity(one.severity.lower()), purl=one.identifier.purl)
