"""Which kind of report a document is; what is unclear is not guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stella_pipelines.core import limits
from stella_pipelines.releases import reports
from stella_pipelines.releases.errors import ReportInvalid, ReportUnknown
from stella_pipelines.releases.reports import detect_kind

TRIVY = {"SchemaVersion": 2, "ArtifactName": "registry.example/shop/web:1.0", "Results": [{"Vulnerabilities": []}]}
GRYPE = {"matches": [], "source": {"type": "image"}, "descriptor": {"name": "grype", "version": "0.90.0"}}
VEX = {"bomFormat": "CycloneDX", "specVersion": "1.6", "vulnerabilities": []}


@pytest.mark.parametrize(("document", "kind"), [(TRIVY, "trivy"), ({**TRIVY, "Results": None}, "trivy"), (GRYPE, "grype"), (VEX, "cyclonedx_vex")])
def test_a_report_is_told_by_its_shape(document: dict[str, Any], kind: str) -> None:
    assert detect_kind(json.dumps(document).encode()) == kind


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "trivy",
        None,
        {"SchemaVersion": "2", "ArtifactName": "x"},
        {"SchemaVersion": 2},
        {**TRIVY, "Results": {}},
        {**GRYPE, "matches": {}},
        {"matches": []},
        {"bomFormat": "CycloneDX", "components": []},
        {"bomFormat": "SPDX", "vulnerabilities": []},
        {**TRIVY, **VEX},
        {**GRYPE, **VEX},
    ],
)
def test_what_has_no_or_several_shapes_is_unknown(document: object) -> None:
    with pytest.raises(ReportUnknown):
        detect_kind(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"SchemaVersion": NaN}', b'{"matches": [], "matches": []}', b"[" * 200_000])
def test_what_is_not_strict_json_is_invalid(content: bytes) -> None:
    with pytest.raises(ReportInvalid):
        detect_kind(content)


def test_a_report_over_the_limit_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps(TRIVY).encode()
    monkeypatch.setattr(reports, "REPORT_BYTES_MAX", len(content))
    assert detect_kind(content) == "trivy"
    monkeypatch.setattr(reports, "REPORT_BYTES_MAX", len(content) - 1)
    with pytest.raises(ReportInvalid, match="at most"):
        detect_kind(content)
    assert limits.REPORT_BYTES_MAX == 64 * 1024 * 1024
