"""The release manifest: an OCI image manifest (image-spec 1.1) for an artifact of our own type. Its digest is the release's identity.

Config is the OCI empty descriptor, the only layer is the canonical JSON of the `Release`. Both are a function of the release alone, so
anybody who has the release can compute its identity. Pure; stored and pushed elsewhere.
"""

from __future__ import annotations

import json
from typing import Final

from pydantic import ValidationError

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.artifact import EMPTY_CONFIG, EMPTY_TYPE
from stella_pipelines.integrations.registries.port import OCI_MANIFEST
from stella_pipelines.releases.errors import ReleaseManifestInvalid
from stella_pipelines.releases.model import Release

ARTIFACT_TYPE: Final = "application/vnd.stella.release.v1+json"
DOCUMENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""A release's canonical JSON; 100 components with 64 platforms each take about 2 MB."""


def release_manifest(release: Release) -> tuple[bytes, bytes]:
    """The manifest and the release document that it points to (the layer). The config is always `EMPTY_CONFIG`."""
    document = release.canonical()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": _descriptor(EMPTY_TYPE, EMPTY_CONFIG),
        "layers": [_descriptor(ARTIFACT_TYPE, document)],
        "annotations": {
            "org.opencontainers.image.created": format_instant(release.created_at),
            "org.opencontainers.image.title": release.name,
            "org.opencontainers.image.version": release.version,
        },
    }
    return canonical_json(manifest), document


def release_digest(release: Release) -> Digest:
    """The identity that the release has, or will have when it is finalized."""
    return Digest.of(release_manifest(release)[0])


def document_digest(manifest: bytes) -> Digest:
    """Which blob holds the release document of a manifest. Raises for anything that is no release manifest."""
    try:
        parsed = json.loads(manifest)
        (layer,) = parsed["layers"]
        found = Digest(layer["digest"]) if parsed["artifactType"] == ARTIFACT_TYPE else None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _invalid("is not a manifest with one layer") from error
    if found is None:
        raise _invalid("is an artifact of another type")
    return found


def read_manifest(manifest: bytes, document: bytes) -> Release:
    """The release behind a manifest and its document. Both must be byte for byte what this release yields: one release, one identity."""
    try:
        release = Release.model_validate_json(document)
    except ValidationError as error:
        raise _invalid("points to something that is not a release") from error
    if release_manifest(release) != (manifest, document):
        raise _invalid("is not the manifest of the release that it points to")
    return release


def _descriptor(media_type: str, content: bytes) -> dict[str, str | int]:
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}


def _invalid(reason: str) -> ReleaseManifestInvalid:
    return ReleaseManifestInvalid(f"This release manifest {reason}.", next_step=f"Give the digest of an artifact of type {ARTIFACT_TYPE}.")
