"""A packet as a purge looks at it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest

_HEX: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
"""A SHA-256 as we write it, alone or behind `sha256:`, or as in-toto writes it."""
Place = tuple[str, int, str]
"""Where a packet stands among all of them: its time as text, its number, its id."""


def digests_in(content: bytes) -> frozenset[str]:
    """Every digest that stands in these bytes, as 64 hex digits: what they may need, and more rather than less."""
    return frozenset(found.decode() for found in _HEX.findall(content))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored packet. A plain dataclass: a purge looks at hundreds of thousands."""

    id: str
    kind: str
    stream: str
    environment: str | None
    sequence: int
    sealed_at: Instant
    bytes: int
    content: Digest
    logged: bool
    """Whether the log has taken it in, under a signed checkpoint."""
    genuine: bool
    """Whether it is what was sealed and logged. What is not is itself a piece of evidence."""
    named: frozenset[str]
    """Every digest that stands in it, as hex."""

    def names(self, digest: Digest) -> bool:
        """Whether the digest stands anywhere in the packet."""
        return digest.hex in self.named
