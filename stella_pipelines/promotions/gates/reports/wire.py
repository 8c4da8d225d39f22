"""Reading foreign JSON strictly: no duplicate keys, a bounded size, and every field that we use has the type that it must have.

Fields that we do not use are ignored; scanners add new ones with every release.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stella_pipelines.core.clock import parse_instant
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import REPORT_BYTES_MAX

FINDINGS_MAX: Final = 100_000
"""Findings in one report; a scan of a large image has a few thousand."""
_UNSET: Final = datetime(1, 1, 1, tzinfo=UTC)
"""What Go's programs write for a time that was never set."""
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MalformedReport(StellaError):
    """A security report does not have the shape that its kind must have."""

    code = "GATE_REPORT_MALFORMED"


class Wire(BaseModel):
    """Base of the foreign shapes."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


Shape = TypeVar("Shape", bound=Wire)


def read(content: bytes, shape: type[Shape], kind: str) -> Shape:
    """The document as `shape`, or `MalformedReport` that says where it differs."""
    if len(content) > REPORT_BYTES_MAX:
        raise malformed(kind, f"it has {len(content)} bytes, more than {REPORT_BYTES_MAX}")
    try:
        document = json.loads(content, object_pairs_hook=_once)
        return shape.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise malformed(kind, f"{place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise malformed(kind, str(error)[:200]) from error


def stated_time(text: str | None, field: str, kind: str) -> datetime | None:
    """The time that a report states; None when it states none. One that cannot be is `MalformedReport`, and not an early or a late one."""
    if text is None:
        return None
    try:
        moment = parse_instant(text)
    except (ValueError, OverflowError) as error:  # OverflowError: in UTC it would be before the year 1 or after 9999
        raise malformed(kind, f"{field} is {text[:40]!r}") from error
    if moment == _UNSET:
        return None
    if moment < _EARLIEST:
        raise malformed(kind, f"{field} is {text[:40]!r}")
    return moment


def malformed(kind: str, why: str) -> MalformedReport:
    """The error for a document that is not a report of this kind."""
    return MalformedReport(f"This is not a {kind} document as {kind} writes it: {why}.", next_step=f"Give the unchanged output of {kind} for this image.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key is there twice in one object")
    return keys
