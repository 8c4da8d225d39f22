"""Which reports assess which image of a release, and what is left of their findings after VEX. Pure.

For each image the newest report of each scanner counts, so that a new scan replaces an old one, and two scanners add up. Which one is the
newest is a matter of when the scan was made, not of when it was given: an old clean scan that is given again replaces nothing.
A report that does not say when it was made assesses nothing, and what it found counts until the same scanner looks again after it was given.
A report that looked at no package is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.gates.reports.cyclonedx_vex import SUPPRESSING, VersionStatus, VexStatement
from stella_pipelines.promotions.gates.reports.finding import Finding, ScanReport, Severity, bare_purl
from stella_pipelines.promotions.gates.reports.matching import spoken_about
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
    def made_at(self) -> datetime | None:
        """When the scan was made, by the scanner's own word, but never after it was given. None: it does not say, or it is no scan."""
        stated = self.scan.created_at if self.scan else None
        return min(stated, self.given_at) if stated else None


class CountedFinding(Value):
    """A finding in a component, and the VEX statement that is the newest about it, with what it marks the version found as."""

    component: str
    finding: Finding
    statement: VexStatement | None
    version_status: VersionStatus | None = None

    @property
    def suppressed(self) -> bool:
        """Whether it is out of the count: a suppressing state, with a reason given, for this version or for all of them."""
        if self.statement is None or self.version_status not in (None, VersionStatus.UNAFFECTED):
            return False
        return self.statement.state in SUPPRESSING and bool(self.statement.justification)


_GRAVITY = {severity: number for number, severity in enumerate(reversed(Severity))}
_GRAVITY[Severity.UNKNOWN] = _GRAVITY[Severity.HIGH]


def unreadable(reports: Sequence[ReadReport]) -> tuple[ReadReport, ...]:
    """Malformed reports that no later readable report of their kind replaces. A scan that looked at nothing replaces nothing."""
    told = [report for report in reports if report.problem is None and (report.scan is None or report.scan.looked)]
    readable = {report.kind: report.given_at for report in told}  # reports come oldest first
    return tuple(report for report in reports if report.problem is not None and readable.get(report.kind, report.given_at) <= report.given_at)


def scans_of(component: AssessedComponent, image: PlatformImage, reports: Iterable[ReadReport]) -> tuple[ReadReport, ...]:
    """The newest report of each scanner about an image: the reports that assess it."""
    dated = [(report.made_at, report.given_at, report.id, report) for report in _scans(component, image, reports) if report.made_at is not None]
    newest = {report.kind: report for *_, report in sorted(dated, key=lambda one: one[:3])}
    return tuple(newest[scanner] for scanner in sorted(newest))


def undated_of(component: AssessedComponent, image: PlatformImage, reports: Iterable[ReadReport]) -> tuple[ReadReport, ...]:
    """Reports about an image without a date that no later scan replaces for certain: they do not assess it, and their findings count."""
    scans = _scans(component, image, reports)
    return tuple(one for one in scans if one.made_at is None and not any(_made_after(other, one) for other in scans))


def findings_of(component: AssessedComponent, scans: Iterable[ReadReport], reports: Sequence[ReadReport]) -> tuple[CountedFinding, ...]:
    """What the scans found, each vulnerability once per version of a package at its gravest, with what VEX says about it."""
    gravest: dict[tuple[str, str, str, str], Finding] = {}
    for finding in (finding for report in scans if report.scan for finding in report.scan.findings):
        key = (finding.id, finding.package, finding.version, bare_purl(finding.purl or ""))
        known = gravest.get(key)
        if known is None or _GRAVITY[finding.severity] > _GRAVITY[known.severity]:
            gravest[key] = finding
    statements = [statement for report in reports for statement in report.statements]
    return tuple(_counted(statements, one, component) for _, one in sorted(gravest.items()))


def _counted(statements: Sequence[VexStatement], finding: Finding, component: AssessedComponent) -> CountedFinding:
    for statement in reversed(statements):
        spoken = spoken_about(statement, finding, component.name, component.digests)
        if spoken is not None:
            return CountedFinding(component=component.name, finding=finding, statement=statement, version_status=spoken.status)
    return CountedFinding(component=component.name, finding=finding, statement=None)


def _scans(component: AssessedComponent, image: PlatformImage, reports: Iterable[ReadReport]) -> list[ReadReport]:
    return [report for report in reports if report.scan is not None and report.scan.looked and _about(report.scan, component, image)]


def _made_after(other: ReadReport, undated: ReadReport) -> bool:
    return other.kind == undated.kind and other.made_at is not None and other.made_at > undated.given_at


def _about(scan: ScanReport, component: AssessedComponent, image: PlatformImage) -> bool:
    if image.digest in scan.subjects or image.config_digest in scan.subjects:
        return True
    # A scan of an index looks at one platform of it. Scanners that do not say which one are taken to mean the image as a whole.
    return component.digest in scan.subjects and (scan.platform is None or _same_machine(scan.platform, image.platform))


def _same_machine(one: str, other: str) -> bool:
    return all(left == right for left, right in zip(one.split("/"), other.split("/"), strict=False))
