"""Whether a VEX statement speaks about a finding: the vulnerability's id, what it is affected in, and how it marks the version found. Pure.

A named version goes before a range. A range that cannot be evaluated may be about the version found, so it is answered with `unknown`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import unquote

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.gates.reports.cyclonedx_vex import Affected, VersionMark, VersionStatus, VexStatement
from stella_pipelines.promotions.gates.reports.finding import Finding, bare_purl
from stella_pipelines.promotions.gates.reports.vers import contains

_LEAST_FAVOURABLE_FIRST: Final = (VersionStatus.AFFECTED, VersionStatus.UNKNOWN, VersionStatus.UNAFFECTED)


class Spoken(Value):
    """That a statement is about a finding. `status` is what it marks the version found as; None when it does not tell versions apart."""

    status: VersionStatus | None


def spoken_about(statement: VexStatement, finding: Finding, component: str, digests: Collection[Digest]) -> Spoken | None:
    """What the statement says about the version found in an image of this component that `digests` mean; None when it is about something else."""
    # An alias counts only when it is the single other name: an advisory that covers several CVEs is not answered by a word about one of them.
    if statement.vulnerability != finding.id and finding.aliases != (statement.vulnerability,):
        return None
    if statement.affects is None:
        return Spoken(status=None)
    found = [one for one in (_covered(affected, finding, component, digests) for affected in statement.affects) if one is not None]
    return _least_favourable([one.status for one in found]) if found else None


def _covered(affected: Affected, finding: Finding, component: str, digests: Collection[Digest]) -> Spoken | None:
    if affected.digest is not None:
        # A digest is exact. Versions beside it are the image's and name no digest, so all of them must be marked well.
        marks = affected.versions or ()
        return _least_favourable([mark.status for mark in marks]) if affected.digest in digests else None
    about_it = affected.ref == component if affected.purl is None else finding.purl is not None and _same_package(affected.purl, finding.purl)
    if not about_it:
        return None
    return Spoken(status=None) if affected.versions is None else _marked(affected.versions, finding.version)


def _marked(marks: Sequence[VersionMark], version: str) -> Spoken | None:
    named = [mark.status for mark in marks if mark.version == version]
    if named:
        return _least_favourable(named)
    answers = [(mark.status, contains(mark.range or "", version)) for mark in marks if mark.version is None]
    statuses = [VersionStatus.UNKNOWN if inside is None else status for status, inside in answers if inside is not False]
    return _least_favourable(statuses) if statuses else None


def _least_favourable(statuses: Sequence[VersionStatus | None]) -> Spoken:
    return Spoken(status=next((status for status in _LEAST_FAVOURABLE_FIRST if status in statuses), None))


def _same_package(stated: str, found: str) -> bool:
    """Package URLs without qualifiers and subpath; one without a version speaks about every version."""
    stated_package, stated_version = _parts(stated)
    found_package, found_version = _parts(found)
    return stated_package == found_package and stated_version in (None, found_version)


def _parts(purl: str) -> tuple[str, str | None]:
    bare = bare_purl(purl)
    package, at, version = bare.rpartition("@")
    return (unquote(package), unquote(version)) if at else (unquote(bare), None)
