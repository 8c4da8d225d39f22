"""Security reports given to a release: which kind one is, told by its shape, and the row that remembers it.

What a report says is read by the security gate. Here only that it is strict JSON of a known kind and a bounded size.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Literal, NoReturn

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import REPORT_BYTES_MAX
from stella_pipelines.core.values import Value
from stella_pipelines.releases.errors import ReportInvalid, ReportUnknown

ReportKind = Literal["trivy", "grype", "cyclonedx_vex"]
REPORT_MEDIA_TYPE: Final = "application/json"


class SecurityReport(Value):
    """A report as given: the bytes are the blob. The same bytes given again are the same report, with the first time of giving."""

    id: str
    release_digest: Digest
    kind: ReportKind
    blob: Digest
    given_by: str
    given_at: Instant


def detect_kind(content: bytes) -> ReportKind:
    """The report's kind. Raises `ReportInvalid` for what is not JSON, `ReportUnknown` for what has none or several of the known shapes."""
    document = _parse(content)
    found = [kind for kind, fits in _SHAPES.items() if isinstance(document, dict) and fits(document)]
    if len(found) != 1:
        raise ReportUnknown(
            "This JSON document is no security report of a known kind.",
            next_step="Give a Trivy or Grype JSON report, or a CycloneDX document with a 'vulnerabilities' list (VEX).",
        )
    return found[0]


def _parse(content: bytes) -> object:
    if len(content) > REPORT_BYTES_MAX:
        raise ReportInvalid(f"The report has {len(content)} bytes.", next_step=f"Reports have at most {REPORT_BYTES_MAX} bytes; give one per image.")
    try:
        return json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_without_repeated_keys)
    except (ValueError, RecursionError) as error:
        raise ReportInvalid("The report is not valid JSON.", next_step="Let the scanner write JSON (trivy --format json, grype -o json).") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice, so the document has two meanings")
    return document


def _is_trivy(document: dict[str, Any]) -> bool:
    return isinstance(document.get("SchemaVersion"), int) and "ArtifactName" in document and isinstance(document.get("Results"), list | None)


def _is_grype(document: dict[str, Any]) -> bool:
    return isinstance(document.get("matches"), list) and isinstance(document.get("source"), dict) and isinstance(document.get("descriptor"), dict)


def _is_cyclonedx_vex(document: dict[str, Any]) -> bool:
    return document.get("bomFormat") == "CycloneDX" and isinstance(document.get("vulnerabilities"), list)


_SHAPES: Final[dict[ReportKind, Callable[[dict[str, Any]], bool]]] = {"trivy": _is_trivy, "grype": _is_grype, "cyclonedx_vex": _is_cyclonedx_vex}
