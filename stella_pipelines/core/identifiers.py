"""Prefixed, sortable identifiers: `prm_01jd…`. The body is a ULID (48 bits of milliseconds, 80 bits of entropy, Crockford base 32)."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Final, Protocol

from stella_pipelines.core.errors import StellaError

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
ENTROPY_BYTES: Final = 10
PREFIXES: Final = {
    "prm": "promotion",
    "evl": "evaluation of a promotion's gates",
    "apr": "approval",
    "ovr": "override of a gate",
    "dep": "deployment",
    "evd": "evidence packet",
    "aud": "audit entry",
    "out": "outbox row",
    "rpt": "security report given to a release",
    "hld": "lease holder",
    "lgh": "legal hold",
    "req": "request: one command, one tick of a sensor, one pass of the submitter",
}
_PATTERN: Final = re.compile(r"([a-z]{3})_[0-9a-hjkmnp-tv-z]{26}")


class InvalidIdentifier(StellaError):
    """A text stands where an identifier must, and is not one of the expected kind."""

    code = "VAL_IDENTIFIER_INVALID"


def identifier(prefix: str, now: datetime, entropy: bytes) -> str:
    """The identifier for a moment and ten random bytes. Pure: the same arguments give the same id."""
    if prefix not in PREFIXES or len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"unknown prefix {prefix!r} or not {ENTROPY_BYTES} bytes of entropy")
    number = (int(now.timestamp() * 1000) << 80) | int.from_bytes(entropy, "big")
    body = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
    return f"{prefix}_{body}"


def check_identifier(text: str, prefix: str) -> str:
    """`text`, if it is an identifier with this prefix; `InvalidIdentifier` otherwise."""
    match = _PATTERN.fullmatch(text)
    if match is None or match.group(1) != prefix:
        raise InvalidIdentifier(
            f"{text[:80]!r} does not name a {PREFIXES[prefix]}.",
            next_step=f"Such an id starts with '{prefix}_' and has 26 characters after it.",
        )
    return text


class Identifiers(Protocol):
    """Where a service gets new ids."""

    def new(self, prefix: str, now: datetime) -> str:
        """A fresh identifier."""
        ...


class SystemIdentifiers:
    """Identifiers with entropy from the operating system."""

    def new(self, prefix: str, now: datetime) -> str:
        return identifier(prefix, now, os.urandom(ENTROPY_BYTES))
