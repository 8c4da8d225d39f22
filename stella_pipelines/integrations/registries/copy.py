"""Copying an image between two registries by digest: how releases cross an air gap, and how a lab is filled.

Everything behind the digest comes along (every platform, attestations too), each blob and manifest verified on the way. Blobs go
through a temporary file, one at a time. A copy that is cut off leaves no tag behind, and is finished by running it again.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import LAYER_BYTES_MAX
from stella_pipelines.core.values import Value
from stella_pipelines.integrations.registries.manifests import Descriptor, ImageIndex, ImageManifest, read_image, read_manifest
from stella_pipelines.integrations.registries.port import RegistryPort


class CopyReport(Value):
    """What a copy moved. `blobs_present` were at the target already, and were not sent again."""

    digest: Digest
    manifests: int
    blobs_copied: int
    blobs_present: int
    bytes_copied: int


def copy_image(source: RegistryPort, source_path: str, digest: Digest, target: RegistryPort, target_path: str, *, tag: str | None = None) -> CopyReport:
    """Copy what `digest` names, and point the target's `tag` at it when all of it has arrived."""
    copying = _Copy(source, source_path, target, target_path)
    copying.manifest(digest, tag)
    return CopyReport(
        digest=digest,
        manifests=copying.manifests,
        blobs_copied=len(copying.sizes),
        blobs_present=copying.blobs_present,
        bytes_copied=sum(copying.sizes),
    )


@dataclass
class _Copy:
    """One copy under way."""

    source: RegistryPort
    source_path: str
    target: RegistryPort
    target_path: str
    manifests: int = 0
    blobs_present: int = 0
    sizes: list[int] = field(default_factory=list)

    def manifest(self, digest: Digest, tag: str | None) -> None:
        """Children before parents, so that the target never has a manifest without its content."""
        served = self.source.manifest(self.source_path, digest)
        document = read_manifest(served)
        if isinstance(document, ImageIndex):
            for entry in document.manifests:
                self.child(entry)
        else:
            self.blobs(document)
        self.target.push_manifest(self.target_path, served.content, served.media_type, tag)
        self.manifests += 1

    def child(self, entry: Descriptor) -> None:
        """An entry of an index: an image, whatever the index calls it."""
        served = self.source.manifest(self.source_path, entry.digest)
        self.blobs(read_image(served))
        self.target.push_manifest(self.target_path, served.content, served.media_type, None)
        self.manifests += 1

    def blobs(self, image: ImageManifest) -> None:
        for blob in {blob.digest: blob for blob in (image.config, *image.layers)}.values():
            self.blob(blob)

    def blob(self, blob: Descriptor) -> None:
        if self.target.has_blob(self.target_path, blob.digest):
            self.blobs_present += 1
            return
        with tempfile.TemporaryFile() as file:
            size = self.source.blob_to(self.source_path, blob.digest, file, min(blob.size, LAYER_BYTES_MAX))
            file.seek(0)
            self.target.push_blob_from(self.target_path, blob.digest, file)
        self.sizes.append(size)
