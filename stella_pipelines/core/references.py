"""Image references as people write them, parsed strictly: `host[:port]/repository[:tag][@digest]`.

There is no default registry: a name without a host would mean whichever hub somebody's client prefers.
"""

from __future__ import annotations

import re
from typing import Final

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value

# Grammar of the OCI distribution spec (repository names, tags); hosts as in RFC 3986 with an explicit dot, port or "localhost".
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY_PATTERN: Final = rf"{_HOST}/{_PART}(?:/{_PART})*"
TAG_PATTERN: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_REFERENCE: Final = re.compile(rf"(?P<host>{_HOST})/(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>{TAG_PATTERN}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?")


class InvalidReference(StellaError):
    """A text stands where an image reference must, and is not one."""

    code = "VAL_REFERENCE_INVALID"


class ImageReference(Value):
    """Where an image is. With a digest it is an identity; with only a tag it is a question that is asked once."""

    host: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Parse `host/repository[:tag][@sha256:…]`. Raises `InvalidReference` that says which part is wrong."""
        match = _REFERENCE.fullmatch(text) if len(text) <= 512 else None
        if match is None or not _names_a_registry(match["host"]):
            raise InvalidReference(
                f"{text[:100]!r} is not an image reference with a registry host.",
                next_step="Write host[:port]/repository:tag or host[:port]/repository@sha256:…; the host needs a dot or a port, or is 'localhost'.",
            )
        return cls(host=match["host"], path=match["path"], tag=match["tag"], digest=Digest(match["digest"]) if match["digest"] else None)

    @property
    def repository(self) -> str:
        """`host/path`, without tag and digest."""
        return f"{self.host}/{self.path}"

    def at(self, digest: Digest) -> ImageReference:
        """The same repository, pinned by digest."""
        return ImageReference(host=self.host, path=self.path, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def _names_a_registry(host: str) -> bool:
    return host == "localhost" or "." in host or ":" in host
