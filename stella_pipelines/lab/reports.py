"""What a scanner and a security team would say about the lab's images: Trivy reports, and a CycloneDX VEX document for v2.

The documents have the shape of the real tools' output and name the real digests; no scanner runs. v2 carries the backdoored xz
library (CVE-2024-3094), which only harms an SSH server: the textbook case for `not_affected`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import ImageReference

CVE: Final = "CVE-2024-3094"
PACKAGE_URL: Final = "pkg:deb/debian/liblzma5@5.6.0-0.2?arch=amd64&distro=debian-12"


@dataclass(frozen=True)
class Scanned:
    """The image that a report speaks about."""

    reference: ImageReference
    platform: str
    index_digest: Digest
    platform_digest: Digest
    config_digest: Digest


def write_reports(folder: Path, images: Mapping[str, Scanned], now: datetime) -> None:
    """One `<version>.trivy.json` per image, and `v2.vex.json`."""
    folder.mkdir(parents=True)
    for name, image in images.items():
        _write(folder / f"{name}.trivy.json", trivy_report(image, now, is_vulnerable=name == "v2"))
    _write(folder / "v2.vex.json", vex_document(images["v2"], now))


def trivy_report(image: Scanned, now: datetime, *, is_vulnerable: bool) -> dict[str, object]:
    """A report as `trivy image --format json` writes it."""
    result: dict[str, object] = {"Target": f"{image.reference} (debian 12.5)", "Class": "os-pkgs", "Type": "debian"}
    if is_vulnerable:
        result["Vulnerabilities"] = [_vulnerability()]
    return {
        "SchemaVersion": 2,
        "CreatedAt": format_instant(now),
        "ArtifactName": str(image.reference),
        "ArtifactType": "container_image",
        "Metadata": {
            "OS": {"Family": "debian", "Name": "12.5"},
            "ImageID": image.config_digest,
            "ImageConfig": {"os": image.platform.split("/")[0], "architecture": image.platform.split("/")[1]},
            "RepoTags": [str(image.reference)],
            "RepoDigests": [f"{image.reference.repository}@{digest}" for digest in (image.index_digest, image.platform_digest)],
        },
        "Results": [result],
    }


def _vulnerability() -> dict[str, object]:
    return {
        "VulnerabilityID": CVE,
        "PkgID": "liblzma5@5.6.0-0.2",
        "PkgName": "liblzma5",
        "PkgIdentifier": {"PURL": PACKAGE_URL},
        "InstalledVersion": "5.6.0-0.2",
        "FixedVersion": "5.6.1+really5.4.5-1",
        "Status": "fixed",
        "Severity": "CRITICAL",
        "Title": "xz: malicious code in distributed source",
        "PrimaryURL": f"https://avd.aquasec.com/nvd/{CVE.lower()}",
        "CVSS": {"nvd": {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "V3Score": 10}},
    }


def vex_document(image: Scanned, now: datetime) -> dict[str, object]:
    """A CycloneDX 1.6 document that says why the product is not affected."""
    product = f"pkg:oci/web@{image.index_digest}?repository_url={image.reference.repository}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:5b0c9a34-2f0e-4c39-8a57-1d6f3a9d7e21",
        "version": 1,
        "metadata": {
            "timestamp": format_instant(now),
            "component": {
                "type": "container",
                "bom-ref": product,
                "name": image.reference.repository,
                "version": image.index_digest,
                "purl": product,
                "hashes": [{"alg": "SHA-256", "content": image.index_digest.hex}],
            },
        },
        "components": [{"type": "library", "bom-ref": PACKAGE_URL, "name": "liblzma5", "version": "5.6.0-0.2", "purl": PACKAGE_URL}],
        "vulnerabilities": [
            {
                "id": CVE,
                "source": {"name": "NVD", "url": f"https://nvd.nist.gov/vuln/detail/{CVE}"},
                "ratings": [{"severity": "critical", "score": 10.0, "method": "CVSSv31"}],
                "analysis": {
                    "state": "not_affected",
                    "justification": "code_not_reachable",
                    "response": ["will_not_fix"],
                    "detail": "The malicious code acts only inside an SSH server. The image runs none, and contains none.",
                },
                "affects": [{"ref": PACKAGE_URL}],
            }
        ],
    }


def _write(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")
