"""The security reports that packets know: for each release, those that the security gate had read for its newest decision.

A scan is about an image, so it counts for every release that has this image. VEX is said about one release, and counts only there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import ValidationError

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.errors import FactsDamaged
from stella_pipelines.evidence.frames.meaning import release_of
from stella_pipelines.evidence.frames.reading import ReadBlob, blob, documents, inside, text
from stella_pipelines.evidence.verify import VerifiedPacket
from stella_pipelines.promotions.gates.port import GivenReport
from stella_pipelines.promotions.gates.reports.assessment import ReadReport
from stella_pipelines.promotions.gates.security import SecurityGate, read_report
from stella_pipelines.releases.service import Releases
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store

GivenTo = Callable[[Digest], Iterable[GivenReport]]
"""The reports given to a release until now."""


def given_in(store: Store, releases: Releases) -> GivenTo:
    """The reports that an installation has, also those that no decision has judged yet. No packet proves when they were given."""

    def given(release: Digest) -> list[GivenReport]:
        with store.reading() as tx:
            return [
                GivenReport(id=one.id, kind=one.kind, blob=one.blob, given_at=one.given_at, content=blobs.get(tx, one.blob))
                for one in releases.reports(tx, release)
            ]

    return given


class KnownReports:
    """Gathers which decisions judged reports, and reads the reports then."""

    def __init__(self, read_blob: ReadBlob, given: GivenTo | None) -> None:
        self._read_blob = read_blob
        self._given = given
        self._newest: dict[Digest, tuple[datetime, str, tuple[Digest, ...]]] = {}

    def take(self, packet: VerifiedPacket) -> None:
        """Remember what the gates of the newest decision about a release had gathered. Reports are never taken away, so it knows all earlier ones."""
        release = release_of(packet)
        if packet.kind != "decision" or release is None:
            return
        gates = documents(inside(packet.statement.predicate, "decision"), "gates")
        names = {f"gate/{text(gate, 'name')}" for gate in gates if text(gate, "kind") == SecurityGate.kind}
        gathered = tuple(one.digest for one in packet.statement.inputs if one.name in names)
        if gathered:
            entry = (packet.seal.sealed_at, packet.seal.packet_id, gathered)
            self._newest[release] = max(self._newest.get(release, entry), entry)

    def pool(self, releases: Iterable[Digest]) -> ReportPool:
        """Every report of some releases, read."""
        return ReportPool({release: self._of(release) for release in releases})

    def _of(self, release: Digest) -> list[ReadReport]:
        found: dict[str, ReadReport] = {}
        for gathered in self._newest[release][2] if release in self._newest else ():
            found |= {report.id: report for report in self._gathered(gathered)}
        for given in self._given(release) if self._given else ():
            if given.id not in found:
                found[given.id] = read_report(given)
        return list(found.values())

    def _gathered(self, gate: Digest) -> list[ReadReport]:
        facts = inside(blob(self._read_blob, gate, "What the security gate judged"), "facts")
        try:
            return [ReadReport.model_validate(report) for report in documents(facts, "reports")]
        except ValidationError as error:
            raise FactsDamaged(f"The reports in {gate} cannot be read.", next_step="Use the version of Stella that wrote them.") from error


class ReportPool:
    """Reports by what they are about."""

    def __init__(self, of_release: Mapping[Digest, Sequence[ReadReport]]) -> None:
        self._statements = {release: [report for report in reports if report.scan is None] for release, reports in of_release.items()}
        self._scans: dict[Digest, list[ReadReport]] = defaultdict(list)
        for report in (report for reports in of_release.values() for report in reports):
            for subject in report.scan.subjects if report.scan else ():
                self._scans[subject].append(report)

    def about(self, release: Digest | None, images: Iterable[Digest]) -> list[ReadReport]:
        """Every scan of these images, and what else was given to the release."""
        scans = {report.id: report for image in images for report in self._scans.get(image, ())}
        return [*scans.values(), *(self._statements.get(release, ()) if release else ())]
