"""What the readers return, whatever the scanner: findings about an image, and the digests that say which image."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value

_DIGEST_IN_TEXT: Final = re.compile(r"(?:^|@)(sha256:[0-9a-f]{64})$")


class Severity(StrEnum):
    """As scanners grade. `unknown` is counted as high: nobody has said that it is harmless."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NEGLIGIBLE = "negligible"
    UNKNOWN = "unknown"


class Finding(Value):
    """One vulnerability in one package. `aliases` are other ids of the same vulnerability."""

    id: str
    package: str
    version: str
    severity: Severity
    purl: str | None = None
    aliases: tuple[str, ...] = ()


class ScanReport(Value):
    """What one scan says about one image. `platform` is known when the scanner wrote it down.

    `looked` is False when the report does not show that the scanner looked at any package: no findings then means nothing.
    """

    scanner: str
    subjects: tuple[Digest, ...]
    platform: str | None
    created_at: Instant | None
    findings: tuple[Finding, ...]
    looked: bool = True


def digest_in(text: str | None) -> Digest | None:
    """The digest that a reference such as `host/app@sha256:…` ends with, or that the text is."""
    match = _DIGEST_IN_TEXT.search(text or "")
    return Digest(match[1]) if match else None


def digests_in(*texts: str | None) -> tuple[Digest, ...]:
    """Every digest in the given references, each once."""
    return tuple(sorted({found for found in map(digest_in, texts) if found is not None}))


def bare_purl(purl: str) -> str:
    """A package URL without qualifiers and subpath, which every scanner chooses differently for the same package."""
    return purl.split("#", 1)[0].split("?", 1)[0]


def platform_of(system: str | None, architecture: str | None, variant: str | None = None) -> str | None:
    """`os/architecture[/variant]`, when both halves are known."""
    return "/".join(part for part in (system, architecture, variant) if part) if system and architecture else None
