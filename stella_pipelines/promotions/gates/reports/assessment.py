"""Which reports assess which image of a release, and what is left of their findings after VEX. Pure.

Images are looked at one by one: a word about one platform's image says nothing about another's, and a finding counts while any image has it.
For each image the newest report of each scanner counts, so that a new scan replaces an old one, and two scanners add up. Which one is the
newest is a matter of when the scan was made, not of when it was given: an old clean scan that is given again replaces nothing.
A report that does not say when it was made assesses nothing, and what it found counts until the same scanner looks again after it was given.
A report that looked at no package is none.
"""

from __future__ import annotations

from collections import defaultdict
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
        return frozenset(digest for image in self.images for digest in self.digests_of(image))

    def digests_of(self, image: PlatformImage) -> frozenset[Digest]:
        """The digests that speak about one platform's image: its manifest's, its config's, and the index's, which speaks for all."""
        return frozenset({self.digest, image.digest, image.config_digest})


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
    """A finding in a component, and the VEX statement that is the newest about it, with what it marks the version found as.

    `only_on` names the platforms on which it counts when VEX takes it out for others.
    """

    component: str
    finding: Finding
    statement: VexStatement | None
    version_status: VersionStatus | None = None
    only_on: tuple[str, ...] = ()

    @property
    def suppressed(self) -> bool:
        """Whether it is out of the count: a suppressing state, with a reason given, for this version or for all of them."""
        if self.statement is None or self.version_status not in (None, VersionStatus.UNAFFECTED):
            return False
        return self.statement.state in SUPPRESSING and bool(self.statement.justification)


_Key = tuple[str, str, str, str]
"""What makes two findings one: the vulnerability, the package, its version, and its package URL."""
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


def findings_of(component: AssessedComponent, reports: Sequence[ReadReport]) -> tuple[CountedFinding, ...]:
    """What the reports that count found in any image, each vulnerability once per version of a package, with what VEX says about it."""
    statements = _by_vulnerability(reports)
    found: dict[_Key, list[tuple[str, CountedFinding]]] = defaultdict(list)
    for image in component.images:
        for key, finding in _gravest(component, image, reports).items():
            found[key].append((image.platform, _counted(statements, finding, component, image)))
    return tuple(_together(found[key]) for key in sorted(found))


def _gravest(component: AssessedComponent, image: PlatformImage, reports: Sequence[ReadReport]) -> dict[_Key, Finding]:
    """The findings in one image, each at its gravest."""
    gravest: dict[_Key, Finding] = {}
    counting = (*scans_of(component, image, reports), *undated_of(component, image, reports))
    for finding in (finding for report in counting if report.scan for finding in report.scan.findings):
        key = (finding.id, finding.package, finding.version, bare_purl(finding.purl or ""))
        known = gravest.get(key)
        if known is None or _GRAVITY[finding.severity] > _GRAVITY[known.severity]:
            gravest[key] = finding
    return gravest


def _together(found: Sequence[tuple[str, CountedFinding]]) -> CountedFinding:
    """One vulnerability over every image that has it: it is out of the count only when it is out in all of them."""
    counting = [(platform, one) for platform, one in found if not one.suppressed]
    gravest = max((one for _, one in counting or found), key=lambda one: _GRAVITY[one.finding.severity])
    partly = 0 < len(counting) < len(found)
    return gravest.model_copy(update={"only_on": tuple(platform for platform, _ in counting) if partly else ()})


def _by_vulnerability(reports: Iterable[ReadReport]) -> dict[str, list[tuple[int, VexStatement]]]:
    """The statements of each vulnerability, with their places among all of them."""
    known: dict[str, list[tuple[int, VexStatement]]] = defaultdict(list)
    for place, statement in enumerate(statement for report in reports for statement in report.statements):
        known[statement.vulnerability].append((place, statement))
    return known


def _counted(statements: dict[str, list[tuple[int, VexStatement]]], finding: Finding, component: AssessedComponent, image: PlatformImage) -> CountedFinding:
    naming = [one for name in {finding.id, *finding.aliases} for one in statements.get(name, ())]
    for _, statement in sorted(naming, key=lambda one: one[0], reverse=True):
        spoken = spoken_about(statement, finding, component.name, component.digests_of(image))
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
