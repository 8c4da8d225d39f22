"""What a manifest's bytes say, read strictly. Pure.

- OCI and Docker schema 2 are the same here; schema 1 is refused, because its digest does not cover what it runs.
- A document is an image or an index, never both (the confusion of CVE-2021-41190), and its own `mediaType` agrees with how it was served.
- A key that stands twice is refused: two readers could see two images behind one digest.
- Nested indexes are refused.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import Field, ValidationError

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import PLATFORMS_MAX
from stella_pipelines.core.values import Value
from stella_pipelines.integrations.registries.port import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, ImageUnsupported, Manifest

INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
IMAGE_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIG_TYPES: Final = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
INDEX_ENTRIES_MAX: Final = 4 * PLATFORMS_MAX
"""Entries of an index, attestations among them (one or two per platform)."""
_SCHEMA1_PREFIX: Final = "application/vnd.docker.distribution.manifest.v1+"


class Descriptor(Value):
    """A pointer to content: what kind, which bytes, how many. `platform` stays None when the index names none."""

    media_type: str
    digest: Digest
    size: int = Field(ge=0)
    platform: str | None = None
    os_version: str | None = None

    @property
    def is_attestation(self) -> bool:
        """Whether this entry describes another one (build provenance, SBOM) and runs nowhere."""
        return self.platform == "unknown/unknown"


class ImageManifest(Value):
    """One image: its config and its layers, in order."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def is_container_image(self) -> bool:
        """Whether an engine can run it; charts, signatures and our own release manifests are artifacts of the same shape."""
        return self.config.media_type in CONFIG_TYPES


class ImageIndex(Value):
    """Several manifests behind one digest."""

    manifests: tuple[Descriptor, ...]


def read_manifest(manifest: Manifest) -> ImageManifest | ImageIndex:
    """The document behind a manifest. Raises `ImageUnsupported` for what cannot be released."""
    document = parse_document(manifest.content, str(manifest.digest))
    try:
        if _kind(manifest, document) in INDEX_TYPES:
            return _index(manifest, document)
        return ImageManifest(config=_descriptor(document["config"]), layers=tuple(_descriptor(layer) for layer in document["layers"]))
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise _unsupported(str(manifest.digest), f"is no valid manifest ({type(error).__name__})") from error


def read_image(manifest: Manifest) -> ImageManifest:
    """A manifest that an index points to: an image, not another index."""
    document = read_manifest(manifest)
    if isinstance(document, ImageIndex):
        raise _unsupported(str(manifest.digest), "is an index inside an index")
    return document


def parse_document(content: bytes, name: str) -> dict[str, Any]:
    """A JSON object without repeated keys."""
    try:
        document = json.loads(content, object_pairs_hook=_without_repeated_keys)
    except (ValueError, RecursionError) as error:
        raise _unsupported(name, "is not strict JSON") from error
    if not isinstance(document, dict):
        raise _unsupported(name, "is not a JSON object")
    return document


def refuse_schema1(media_type: str, content: bytes, name: str) -> None:
    """Say it plainly for schema 1, before its digest (which leaves its signatures out) looks like a lie."""
    if media_type.startswith(_SCHEMA1_PREFIX) or b'"schemaVersion": 1,' in content[:200] or b'"schemaVersion":1,' in content[:200]:
        raise ImageUnsupported(
            f"The image at {name} has the old Docker schema 1.", next_step="Push it again with a client of this decade; schema 2 and OCI are accepted."
        )


def media_type_of(content: bytes, name: str) -> str:
    """The media type of a manifest that nothing else describes."""
    return str(_declared(parse_document(content, name)))


def _declared(document: dict[str, Any]) -> object:
    """The document's own word, whatever it is; its shape when it says nothing, as OCI allows."""
    said = document.get("mediaType")
    return said if said is not None else (OCI_INDEX if "manifests" in document else OCI_MANIFEST)


def _kind(manifest: Manifest, document: dict[str, Any]) -> str:
    declared = _declared(document)
    if document.get("schemaVersion") != 2 or declared not in (*INDEX_TYPES, *IMAGE_TYPES):
        raise _unsupported(str(manifest.digest), f"is of the kind {str(declared)[:100]!r}, which is no image")
    if manifest.media_type in INDEX_TYPES | IMAGE_TYPES and manifest.media_type != declared:
        raise _unsupported(str(manifest.digest), f"calls itself {declared}, and was served as {manifest.media_type}")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise _unsupported(str(manifest.digest), "is an image and an index at once")
    return str(declared)


def _index(manifest: Manifest, document: dict[str, Any]) -> ImageIndex:
    entries = document["manifests"]
    if len(entries) > INDEX_ENTRIES_MAX:
        raise _unsupported(str(manifest.digest), f"has more than {INDEX_ENTRIES_MAX} entries")
    found = ImageIndex(manifests=tuple(_descriptor(entry) for entry in entries))
    if any(entry.media_type in INDEX_TYPES for entry in found.manifests):
        raise _unsupported(str(manifest.digest), "is an index of indexes")
    return found


def _descriptor(entry: dict[str, Any]) -> Descriptor:
    platform = entry.get("platform")
    return Descriptor(
        media_type=entry["mediaType"],
        digest=entry["digest"],
        size=entry["size"],
        platform=platform_name(platform) if platform else None,
        os_version=platform.get("os.version") if platform else None,
    )


def platform_name(document: dict[str, Any]) -> str:
    """`os/architecture[/variant]` of a platform object or an image's config."""
    parts = [document["os"], document["architecture"], document.get("variant")]
    return "/".join(part for part in parts if part)


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice")
    return document


def _unsupported(name: str, reason: str) -> ImageUnsupported:
    return ImageUnsupported(f"The content {name} {reason}.", next_step="Release an OCI or Docker schema 2 image, or an index of such images.")
