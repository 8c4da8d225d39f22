"""Which reports assess which image of a release, and what is left of their findings after VEX. Pure.

For each image the newest report of each scanner counts, so that a new scan replaces an old one, and two scanners add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.gates.reports.cyclonedx_vex import SUPPRESSING, VexStatement
from stella_pipelines.promotions.gates.reports.finding import Finding, ScanReport, Severity
from stella_pipelines.promotions.gates.reports.matching import speaks_about
from stella_pipelines.releases.model import PlatformImage


class AssessedComponent(Value):
    """A component that will run, with the images of the platforms that will run it."""

    name: str
    digest: Digest
    images: tuple[PlatformImage, ...]

    @property
    def digests(self) -> frozenset[Digest]:
        """Every digest that means this component's image."""
        return frozenset({self.digest, *(image.digest for image in self.images), *(image.config_digest for image in self.images)})


class ReadReport(Value):
    """A given report after reading: a scan, VEX statements, or the problem that made it unreadable."""

    id: str
    kind: str
    given_at: Instant
    scan: ScanReport | None = None
    statements: tuple[VexStatement, ...] = ()
    problem: str | None = None

    @property
    def made_at(self) -> datetime:
        """When the scan was made: the scanner's own word, unless it claims to be younger than the moment it was given."""
        stated = self.scan.created_at if self.scan else None
        return min(stated, self.given_at) if stated else self.given_at


class CountedFinding(Value):
    """A finding in a component, and the VEX statement that is the newest about it."""

    component: str
    finding: Finding
    statement: VexStatement | None

    @property
    def suppressed(self) -> bool:
        """Whether it is out of the count: a suppressing state, with a reason given."""
        return self.statement is not None and self.statement.state in SUPPRESSING and bool(self.statement.justification)


_GRAVITY = {severity: number for number, severity in enumerate(reversed(Severity))}
_GRAVITY[Severity.UNKNOWN] = _GRAVITY[Severity.HIGH]


def unreadable(reports: Sequence[ReadReport]) -> tuple[ReadReport, ...]:
    """Malformed reports that no later readable report of their kind replaces."""
    readable = {report.kind: report.given_at for report in reports if report.problem is None}  # reports come oldest first
    return tuple(report for report in reports if report.problem is not None and readable.get(report.kind, report.given_at) <= report.given_at)


def scans_of(component: AssessedComponent, image: PlatformImage, reports: Iterable[ReadReport]) -> tuple[ReadReport, ...]:
    """The newest report of each scanner about an image; `reports` come oldest first."""
    newest = {report.scan.scanner: report for report in reports if report.scan is not None and _about(report.scan, component, image)}
    return tuple(newest[scanner] for scanner in sorted(newest))


def findings_of(component: AssessedComponent, scans: Iterable[ReadReport], reports: Sequence[ReadReport]) -> tuple[CountedFinding, ...]:
    """What the scans found, each vulnerability once per package at its gravest, with what VEX says about it."""
    gravest: dict[tuple[str, str], Finding] = {}
    for finding in (finding for report in scans if report.scan for finding in report.scan.findings):
        known = gravest.get((finding.id, finding.package))
        if known is None or _GRAVITY[finding.severity] > _GRAVITY[known.severity]:
            gravest[finding.id, finding.package] = finding
    statements = [statement for report in reports for statement in report.statements]
    return tuple(CountedFinding(component=component.name, finding=one, statement=_newest(statements, one, component)) for _, one in sorted(gravest.items()))


def _newest(statements: Sequence[VexStatement], finding: Finding, component: AssessedComponent) -> VexStatement | None:
    return next((one for one in reversed(statements) if speaks_about(one, finding, component.name, component.digests)), None)


def _about(scan: ScanReport, component: AssessedComponent, image: PlatformImage) -> bool:
    if image.digest in scan.subjects or image.config_digest in scan.subjects:
        return True
    # A scan of an index looks at one platform of it. Scanners that do not say which one are taken to mean the image as a whole.
    return component.digest in scan.subjects and (scan.platform is None or _same_machine(scan.platform, image.platform))


def _same_machine(one: str, other: str) -> bool:
    return all(left == right for left, right in zip(one.split("/"), other.split("/"), strict=False))
