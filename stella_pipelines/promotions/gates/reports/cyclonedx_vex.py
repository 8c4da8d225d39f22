"""CycloneDX VEX: what somebody who analysed a vulnerability says about it (CycloneDX 1.4 to 1.6, `vulnerabilities[].analysis`).

`affects[].versions[]` tells versions apart. As the specification says, an entry without a `status` means `affected`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

from pydantic import Field

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.gates.reports.finding import digest_in
from stella_pipelines.promotions.gates.reports.wire import FINDINGS_MAX, Wire, malformed, read

KIND: Final = "cyclonedx_vex"
JUSTIFICATION_CHARACTERS_MAX: Final = 500
"""How much of a statement's reason is kept beside each finding; the document itself stays as it was given."""


class VexState(StrEnum):
    """The states of CycloneDX. Only those in `SUPPRESSING` take a finding out of the count."""

    RESOLVED = "resolved"
    RESOLVED_WITH_PEDIGREE = "resolved_with_pedigree"
    EXPLOITABLE = "exploitable"
    IN_TRIAGE = "in_triage"
    FALSE_POSITIVE = "false_positive"
    NOT_AFFECTED = "not_affected"


SUPPRESSING: Final = (VexState.RESOLVED, VexState.RESOLVED_WITH_PEDIGREE, VexState.FALSE_POSITIVE, VexState.NOT_AFFECTED)


class VersionStatus(StrEnum):
    """What a statement marks versions as. Only `unaffected` ones can be taken out of the count."""

    AFFECTED = "affected"
    UNAFFECTED = "unaffected"
    UNKNOWN = "unknown"


class VersionMark(Value):
    """One version, or a range of them in the `vers` form, and its status."""

    status: VersionStatus
    version: str | None = None
    range: str | None = None


class Affected(Value):
    """What a statement is about: an image by digest, a package by purl, or a release component by name; `versions` narrows it."""

    ref: str
    digest: Digest | None = None
    purl: str | None = None
    versions: tuple[VersionMark, ...] | None = None


class VexStatement(Value):
    """One analysis. `affects` None means that the document did not narrow it; it was given to one release, and speaks about that."""

    vulnerability: str
    state: VexState
    justification: str
    affects: tuple[Affected, ...] | None


class _Hash(Wire):
    alg: str
    content: str


class _Component(Wire):
    bom_ref: Annotated[str | None, Field(alias="bom-ref")] = None
    purl: str | None = None
    hashes: list[_Hash] = []


class _Metadata(Wire):
    component: _Component | None = None


class _Version(Wire):
    version: str | None = None
    range: str | None = None
    status: Annotated[VersionStatus, Field(strict=False)] = VersionStatus.AFFECTED


class _Affects(Wire):
    ref: Annotated[str, Field(min_length=1)]
    versions: list[_Version] | None = None


class _Analysis(Wire):
    state: Annotated[VexState, Field(strict=False)]
    justification: str = ""
    detail: str = ""


class _Vulnerability(Wire):
    id: Annotated[str, Field(min_length=1)]
    analysis: _Analysis | None = None
    affects: list[_Affects] | None = None


class _Document(Wire):
    format: Annotated[Literal["CycloneDX"], Field(alias="bomFormat")]
    spec_version: Annotated[str, Field(alias="specVersion", pattern=r"^1\.[4-9]$")]
    metadata: _Metadata = _Metadata()
    components: list[_Component] = []
    vulnerabilities: list[_Vulnerability]


def read_vex(content: bytes) -> tuple[VexStatement, ...]:
    """The statements of a document, in its order. A vulnerability without an analysis says nothing, and makes none."""
    document = read(content, _Document, KIND)
    if len(document.vulnerabilities) > FINDINGS_MAX:
        raise malformed(KIND, f"it has {len(document.vulnerabilities)} vulnerabilities, more than {FINDINGS_MAX}")
    known = _components(document)
    return tuple(_statement(one, one.analysis, known) for one in document.vulnerabilities if one.analysis is not None)


def _components(document: _Document) -> dict[str, _Component]:
    described = [*document.components, *([document.metadata.component] if document.metadata.component else [])]
    return {component.bom_ref: component for component in described if component.bom_ref}


def _statement(one: _Vulnerability, analysis: _Analysis, known: dict[str, _Component]) -> VexStatement:
    affects = None if one.affects is None else tuple(_affected(affected, known) for affected in one.affects)
    why = ": ".join(part.strip() for part in (analysis.justification, analysis.detail) if part.strip())
    kept = why if len(why) <= JUSTIFICATION_CHARACTERS_MAX else why[: JUSTIFICATION_CHARACTERS_MAX - 1] + "…"
    return VexStatement(vulnerability=one.id, state=analysis.state, justification=kept, affects=affects)


def _affected(affected: _Affects, known: dict[str, _Component]) -> Affected:
    # A BOM-Link (urn:cdx:serial/version#bom-ref) names an element of another document; its bom-ref is what we can compare.
    ref = unquote(affected.ref.split("#", 1)[1]) if affected.ref.startswith("urn:cdx:") and "#" in affected.ref else affected.ref
    component = known.get(ref, _Component())
    purl = component.purl or (ref if ref.startswith("pkg:") else None)
    versions = None if affected.versions is None else tuple(_mark(one) for one in affected.versions)
    return Affected(ref=ref, digest=_digest(ref, purl, component), purl=purl, versions=versions)


def _mark(one: _Version) -> VersionMark:
    return VersionMark(status=one.status, version=one.version, range=one.range)


def _digest(ref: str, purl: str | None, component: _Component) -> Digest | None:
    if purl is not None and purl.startswith("pkg:oci/"):
        return digest_in("@" + unquote(purl.split("?", 1)[0].rpartition("@")[2]))
    hashes: list[Any] = [one.content for one in component.hashes if one.alg == "SHA-256"]
    return digest_in(ref) or next((found for found in (digest_in(f"sha256:{content}") for content in hashes) if found), None)
