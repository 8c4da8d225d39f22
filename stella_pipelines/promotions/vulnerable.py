"""Whether an image has a vulnerability, as the security gate counts: the newest scan of each scanner, after VEX. Pure.

The gate asks how many findings a component has; here it is asked about one of them, for one platform's image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stella_pipelines.evidence.frames.releases import ComponentFacts, PlatformFacts
from stella_pipelines.promotions.gates.reports.assessment import AssessedComponent, CountedFinding, ReadReport, findings_of, scans_of
from stella_pipelines.promotions.gates.reports.finding import Finding
from stella_pipelines.releases.model import PlatformImage

Status = Literal["affected", "not_affected", "unassessed"]
"""`not_affected`: found, and a VEX statement takes it out of the count. `unassessed`: no report that counts is about the image."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the reports say of a vulnerability in one image. Only an image that nobody has looked at has no finding."""

    status: Status
    finding: CountedFinding | None = None


def judged(component: ComponentFacts, platform: PlatformFacts, reports: Sequence[ReadReport], vulnerability: str) -> list[Judged]:
    """One for each package that has it, one when the image is not assessed, and none when it is and does not have it."""
    image = PlatformImage(platform=platform.platform, digest=platform.digest, config_digest=platform.config_digest or platform.digest)
    alone = AssessedComponent(name=component.name, digest=component.digest, images=(image,))
    ordered = sorted(reports, key=lambda one: (one.given_at, one.id))
    found = [one for one in findings_of(alone, ordered) if _is(one.finding, vulnerability)]
    if not found and not scans_of(alone, image, ordered):
        return [Judged("unassessed")]
    return [Judged("not_affected" if one.suppressed else "affected", one) for one in found]


def _is(finding: Finding, vulnerability: str) -> bool:
    return vulnerability.casefold() in {name.casefold() for name in (finding.id, *finding.aliases)}
