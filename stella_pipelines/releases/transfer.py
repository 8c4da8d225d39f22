"""A release in a registry: pushed as an artifact that any OCI tool can read, and read back with every byte verified."""

from __future__ import annotations

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.artifact import EMPTY_CONFIG
from stella_pipelines.integrations.registries.port import OCI_MANIFEST, ImageNotFound, RegistryPort
from stella_pipelines.releases.errors import TagTaken
from stella_pipelines.releases.manifest import DOCUMENT_BYTES_MAX, document_digest, read_manifest
from stella_pipelines.releases.model import Release


def push_release(registry: RegistryPort, path: str, manifest: bytes, document: bytes, tag: str) -> Digest:
    """Push blobs, then the manifest under `tag`. A tag that names something else is left alone."""
    _require_free(registry, path, tag, Digest.of(manifest))
    registry.push_blob(path, EMPTY_CONFIG)
    registry.push_blob(path, document)
    return registry.push_manifest(path, manifest, OCI_MANIFEST, tag)


def read_release(registry: RegistryPort, path: str, digest: Digest) -> Release:
    """The release with this identity, out of any registry that has it."""
    manifest = registry.manifest(path, digest).content
    return read_manifest(manifest, registry.blob(path, document_digest(manifest), DOCUMENT_BYTES_MAX))


def tag_of(version: str) -> str:
    """The tag for a version. Tags have no '+': build metadata is written with '_', as Helm does."""
    return version.replace("+", "_")


def _require_free(registry: RegistryPort, path: str, tag: str, digest: Digest) -> None:
    try:
        found = registry.manifest(path, tag).digest
    except ImageNotFound:
        return
    if found != digest:
        raise TagTaken(f"The tag {path}:{tag} names {found} already, not this release ({digest}).", next_step="Push to a repository of the release's own.")
