"""How reasons tell times to people: whole seconds, and spans in the two largest units. Stored values keep their microseconds. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from stella_pipelines.core.clock import as_utc

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def moment(when: datetime) -> str:
    """RFC 3339 in UTC without a fraction: `2026-01-31T09:00:00Z`."""
    return as_utc(when).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """`2 h 5 min`; less than a second is `0 s`."""
    left, parts = int(seconds), []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
