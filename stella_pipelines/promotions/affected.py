"""`affected`: from a vulnerability forward to every environment where an image with it runs or ran, as a pandas frame.

Whether an image has it says `vulnerable.py`, with the reports that `known_reports.py` finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import pandas as pd

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.columns import Cell, Column, Table
from stella_pipelines.evidence.frames.meaning import Meanings
from stella_pipelines.evidence.frames.reading import ReadBlob, packets_of
from stella_pipelines.evidence.frames.releases import ComponentFacts, PlatformFacts, ReleaseFacts
from stella_pipelines.evidence.frames.running import Span
from stella_pipelines.evidence.frames.runs import RUNS, Runs
from stella_pipelines.evidence.verify import VerifiedPacket
from stella_pipelines.promotions.known_reports import GivenTo, KnownReports
from stella_pipelines.promotions.vulnerable import Judged, judged

AFFECTED: Final = (
    Column(
        "status",
        "category",
        "`affected`; `not_affected`, when a VEX statement takes it out of the gate's count; `unassessed`, when no report that counts is about the image",
    ),
    Column("vulnerability", "text", "As the report names it; it may be an alias of what was asked for"),
    Column("severity", "category", "As the scanner grades it"),
    Column("package", "text", "The package that has it"),
    Column("version", "text", "The version of the package"),
    Column("vex", "category", "What the newest VEX statement about it says, such as `not_affected` or `exploitable`"),
    Column("justification", "text", "Why, in the statement's words"),
    Column("repository", "text", "Where the image is from"),
    *RUNS,
)
_ORDER: Final = ("status", "environment", "target", "since", "component", "digest", "release", "vulnerability", "package", "version", "begun_by")
_NOWHERE: Final[dict[str, Cell]] = {column.name: None for column in RUNS}


def affected(source: Iterable[VerifiedPacket], vulnerability: str, read_blob: ReadBlob, given: GivenTo | None = None) -> pd.DataFrame:
    """Where a vulnerability (`CVE-…`, or another id that a report uses) is or was. The columns are those of `AFFECTED`.

    One row for each time that an image ran somewhere and has it, or may have it because nobody has looked; and one for an affected image that
    ran nowhere. `given`: reports beside those that decisions have judged, such as a scan of this morning (`given_in`).
    """
    runs, meanings, reports = Runs(read_blob), Meanings(), KnownReports(read_blob, given)
    for packet in packets_of(source):
        for gathering in (runs, meanings, reports):
            gathering.take(packet)
    images = _Images(meanings, reports, read_blob, vulnerability)
    table = Table(AFFECTED)
    for row in _rows(runs.spans(), images):
        table.add(row)
    return table.frame(_ORDER)


Place = tuple[ComponentFacts, PlatformFacts]


class _Images:
    """Every image that a release names, and what is known of the vulnerability in it."""

    def __init__(self, meanings: Meanings, reports: KnownReports, read_blob: ReadBlob, vulnerability: str) -> None:
        self._vulnerability = vulnerability
        self._pool = reports.pool(meanings.releases)
        self._judged: dict[tuple[Digest | None, Digest], tuple[str | None, list[Judged]]] = {}
        self._places: dict[tuple[Digest | None, Digest], Place] = {}
        for release in sorted(meanings.releases):
            facts = meanings.facts(release, read_blob)
            for component, platform in _pairs(facts) if facts else ():
                self._places.setdefault((release, platform.digest), (component, platform))
                self._places.setdefault((None, platform.digest), (component, platform))

    def named(self) -> set[tuple[Digest, Digest]]:
        """Release and image of everything that a release names."""
        return {(release, image) for release, image in self._places if release is not None}

    def judged(self, release: Digest | None, image: Digest) -> tuple[str | None, list[Judged]]:
        """The image's repository, and what is known. An image that its release does not name, such as a drifted one, has no VEX."""
        if (release, image) not in self._places:
            release = None
        key = (release, image)
        if key not in self._judged:
            component, platform = self._places.get(key, _stranger(image))
            digests = [found for found in (component.digest, platform.digest, platform.config_digest) if found is not None]
            found = judged(component, platform, self._pool.about(release, digests), self._vulnerability)
            self._judged[key] = component.repository, found
        return self._judged[key]


def _pairs(facts: ReleaseFacts) -> Iterator[Place]:
    return ((component, platform) for component in facts.components for platform in component.platforms)


def _stranger(image: Digest) -> Place:
    """An image that no release names."""
    platform = PlatformFacts("unknown/unknown", image, None)
    return ComponentFacts("unknown", None, image, (platform,)), platform


def _rows(spans: Iterable[Span], images: _Images) -> Iterator[dict[str, Cell]]:
    ran: set[Digest] = set()
    for span in spans:
        ran.add(span.digest)
        place = {column.name: getattr(span, column.name) for column in RUNS}
        repository, found = images.judged(span.release_digest, span.digest)
        yield from (_row(repository, one, place) for one in found)
    for release, image in sorted(images.named()):
        repository, found = images.judged(release, image)
        if image not in ran:
            yield from (_row(repository, one, {**_NOWHERE, "digest": image, "release_digest": release}) for one in found if one.finding is not None)


def _row(repository: str | None, one: Judged, place: dict[str, Cell]) -> dict[str, Cell]:
    counted = one.finding
    finding, statement = (counted.finding, counted.statement) if counted else (None, None)
    return {
        "status": one.status,
        "vulnerability": finding.id if finding else None,
        "severity": finding.severity.value if finding else None,
        "package": finding.package if finding else None,
        "version": finding.version if finding else None,
        "vex": statement.state.value if statement else None,
        "justification": statement.justification if statement else None,
        "repository": repository,
        **place,
    }
