"""Whether a VEX statement speaks about a finding: the vulnerability's id, and what it is affected in. Pure."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote

from stella_pipelines.core.digest import Digest
from stella_pipelines.promotions.gates.reports.cyclonedx_vex import Affected, VexStatement
from stella_pipelines.promotions.gates.reports.finding import Finding


def speaks_about(statement: VexStatement, finding: Finding, component: str, digests: Collection[Digest]) -> bool:
    """Whether the statement is about this finding in this component, whose image has `digests`."""
    # An alias counts only when it is the single other name: an advisory that covers several CVEs is not answered by a word about one of them.
    same_id = statement.vulnerability == finding.id or finding.aliases == (statement.vulnerability,)
    return same_id and (statement.affects is None or any(_covers(affected, finding, component, digests) for affected in statement.affects))


def _covers(affected: Affected, finding: Finding, component: str, digests: Collection[Digest]) -> bool:
    if affected.digest is not None:  # a digest is exact; versions beside it are the image's, not the package's
        return affected.digest in digests
    if affected.versions is not None and finding.version not in affected.versions:
        return False
    if affected.purl is not None:
        return finding.purl is not None and _same_package(affected.purl, finding.purl)
    return affected.ref == component


def _same_package(stated: str, found: str) -> bool:
    """Package URLs without qualifiers and subpath; one without a version speaks about every version."""
    stated_package, stated_version = _parts(stated)
    found_package, found_version = _parts(found)
    return stated_package == found_package and stated_version in (None, found_version)


def _parts(purl: str) -> tuple[str, str | None]:
    bare = purl.split("#", 1)[0].split("?", 1)[0]
    package, at, version = bare.rpartition("@")
    return (unquote(package), unquote(version)) if at else (unquote(bare), None)
