"""What a registry must do for us: the narrow protocol, its values, and its written error contract.

Adapters verify content against digests and translate their library's exceptions into the errors below; nothing else leaves them.
A path is a repository inside the registry (`shop/web`), never with the host. Not part of the port: deleting anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Final, Protocol

from pydantic import Field

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES: Final = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)


class RegistryError(StellaError):
    """Base of what a registry adapter may raise."""


class RegistryLied(RegistryError):
    """The registry served content that does not hash to the digest it was asked for or claims."""

    code = "INT_REGISTRY_LIED"


class RegistryUnreachable(RegistryError):
    """The registry does not answer, answers too late, or says that it is overloaded."""

    code = "INT_REGISTRY_UNREACHABLE"
    retryable = True


class RegistryUntrusted(RegistryError):
    """The registry's TLS certificate is not signed by a trusted CA, or belongs to another host."""

    code = "INT_REGISTRY_UNTRUSTED"


class RegistryDenied(RegistryError):
    """The registry refuses these credentials, or this repository to them."""

    code = "INT_REGISTRY_DENIED"


class RegistryMisbehaved(RegistryError):
    """The registry answered outside the protocol: a redirect where none is followed, an endless chain of them, an unknown status."""

    code = "INT_REGISTRY_PROTOCOL"


class AnswerTooLarge(RegistryError):
    """The registry sent more bytes than the limit for this kind of content."""

    code = "INT_REGISTRY_TOO_LARGE"


class ImageNotFound(RegistryError):
    """The registry has no such repository, tag, manifest or blob."""

    code = "REL_IMAGE_NOT_FOUND"


class ImageUnsupported(RegistryError):
    """The content is there and genuine, but is no image that can be released: schema 1, a nested index, an artifact, ambiguous platforms."""

    code = "REL_IMAGE_UNSUPPORTED"


class TagChanged(RegistryError):
    """A tag was to be moved from what it named a moment ago, and somebody else has moved it since."""

    code = "INT_REGISTRY_TAG_CHANGED"
    retryable = True


class Manifest(Value):
    """A manifest or index exactly as served; `digest` is the hash of `content`, computed here."""

    media_type: str
    digest: Digest
    content: bytes


class Tagged(Value):
    """What a tag names now. `version` is the registry's own mark for it (a strong entity tag), by which it can tell that the tag was moved since."""

    manifest: Manifest
    version: str | None = None


class Referrer(Value):
    """A manifest that says of itself that it is about another one, as a list of referrers shows it. Nothing of this is proven but by reading it."""

    media_type: str
    digest: Digest
    size: int = Field(ge=0, strict=True)
    artifact_type: str | None = None
    annotations: Mapping[str, str] = {}


class RegistryPort(Protocol):
    """One registry. Synchronous; safe to share between threads."""

    def manifest(self, path: str, reference: str | Digest) -> Manifest:
        """The manifest behind a tag or digest, verified against the asked digest and the one that the registry claims."""
        ...

    def blob(self, path: str, digest: Digest, bytes_max: int) -> bytes:
        """A whole blob in memory, verified."""
        ...

    def blob_to(self, path: str, digest: Digest, file: BinaryIO, bytes_max: int) -> int:
        """Stream a blob into a seekable file from its present position, verify it, and return its size. On any error the file's content is worthless."""
        ...

    def has_blob(self, path: str, digest: Digest) -> bool:
        """Whether the blob is there already."""
        ...

    def push_blob(self, path: str, content: bytes) -> Digest:
        """Store a blob. Storing what is there already changes nothing."""
        ...

    def push_blob_from(self, path: str, digest: Digest, file: BinaryIO) -> None:
        """Store the rest of a seekable file as the blob `digest`; refused when it hashes to something else."""
        ...

    def push_manifest(self, path: str, content: bytes, media_type: str, tag: str | None) -> Digest:
        """Store a manifest whose blobs are there already, and point the tag at it."""
        ...

    def tags(self, path: str) -> list[str]:
        """The repository's tags, sorted."""
        ...

    def tagged(self, path: str, tag: str) -> Tagged | None:
        """What the tag names, to be handed to `move_tag`; None when there is no such tag."""
        ...

    def move_tag(self, path: str, content: bytes, media_type: str, tag: str, was: Tagged | None) -> Digest:
        """Store a manifest and point the tag at it, if the tag still names `was`; `TagChanged` otherwise.

        A registry that knows no conditional requests cannot tell, and moves the tag whatever it names: look again afterwards.
        """
        ...

    def push_referrer(self, path: str, content: bytes, media_type: str, subject: Digest) -> bool:
        """Store a manifest whose `subject` is that digest. True: the registry lists it by itself. False: it knows nothing of subjects."""
        ...

    def referrers(self, path: str, subject: Digest, artifact_type: str | None) -> tuple[Referrer, ...] | None:
        """What the registry lists about `subject`, of all types or (where it can choose) of one. None: it has no list of referrers."""
        ...
