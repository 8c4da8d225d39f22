"""An OCI image layout folder that stands in a registry's place: air-gapped transfer, the embedded lab.

Several repositories share one folder and one pool of blobs. A tag is an entry of `index.json` whose
`org.opencontainers.image.ref.name` is `path:tag`; content is found by its digest, whatever the repository, because the pool does not
know who brought it. Other tools read such a folder as `oci:FOLDER:path:tag`. A folder keeps no list of referrers by itself: who attaches something
writes one behind a tag, as with a registry that has none. Not done: removing content.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO, Final

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import MANIFEST_BYTES_MAX
from stella_pipelines.integrations.registries.layout_folder import LayoutFolder
from stella_pipelines.integrations.registries.manifests import media_type_of, refuse_schema1
from stella_pipelines.integrations.registries.names import checked_path, checked_tag, tag_or_digest
from stella_pipelines.integrations.registries.port import ImageNotFound, Manifest, Referrer, TagChanged, Tagged

REF_NAME: Final = "org.opencontainers.image.ref.name"
REPOSITORY: Final = "dev.stella-pipelines.repository"
"""Our annotation on entries without a tag: the repository that they were pushed to."""


class LayoutRegistry:
    """The registry port over one layout folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = LayoutFolder(folder)

    def manifest(self, path: str, reference: str | Digest) -> Manifest:
        wanted = tag_or_digest(reference)
        entry = None if isinstance(wanted, Digest) else self._tagged(checked_path(path), wanted)
        digest = Digest(entry["digest"]) if entry else Digest(wanted)
        content = self.blob(path, digest, MANIFEST_BYTES_MAX)
        media_type = str(entry["mediaType"]) if entry else media_type_of(content, str(digest))
        refuse_schema1(media_type, content, f"{self._folder.path}: {path}")
        return Manifest(media_type=media_type, digest=digest, content=content)

    def blob(self, path: str, digest: Digest, bytes_max: int) -> bytes:
        buffer = io.BytesIO()
        self.blob_to(path, digest, buffer, bytes_max)
        return buffer.getvalue()

    def blob_to(self, path: str, digest: Digest, file: BinaryIO, bytes_max: int) -> int:
        checked_path(path)
        return self._folder.read_blob(digest, file, bytes_max)

    def has_blob(self, path: str, digest: Digest) -> bool:
        checked_path(path)
        return self._folder.has_blob(digest)

    def push_blob(self, path: str, content: bytes) -> Digest:
        digest = Digest.of(content)
        self.push_blob_from(path, digest, io.BytesIO(content))
        return digest

    def push_blob_from(self, path: str, digest: Digest, file: BinaryIO) -> None:
        checked_path(path)
        start = file.tell()
        size = file.seek(0, io.SEEK_END) - start
        file.seek(start)
        self._folder.write_blob(digest, file, size)

    def push_manifest(self, path: str, content: bytes, media_type: str, tag: str | None) -> Digest:
        annotations = _names(path, tag)
        digest = self.push_blob(path, content)
        with self._folder.changing_entries() as entries:
            _enter(entries, content, media_type, annotations)
        return digest

    def tagged(self, path: str, tag: str) -> Tagged | None:
        try:
            return Tagged(manifest=self.manifest(path, checked_tag(tag)))
        except ImageNotFound:
            return None

    def move_tag(self, path: str, content: bytes, media_type: str, tag: str, was: Tagged | None) -> Digest:
        """Really under the condition, because the folder is locked meanwhile."""
        annotations = _names(path, tag)
        digest = self.push_blob(path, content)
        with self._folder.changing_entries() as entries:
            found = next((str(entry["digest"]) for entry in entries if _ref_name(entry) == annotations[REF_NAME]), None)
            if found == (None if was is None else was.manifest.digest):
                _enter(entries, content, media_type, annotations)
                return digest
        raise TagChanged(f"The tag {path}:{tag} was moved by somebody else just now.", next_step="Read it again, then repeat what you were doing.")

    def push_referrer(self, path: str, content: bytes, media_type: str, subject: Digest) -> bool:
        del subject
        self.push_manifest(path, content, media_type, None)
        return False

    def referrers(self, path: str, subject: Digest, artifact_type: str | None) -> tuple[Referrer, ...] | None:
        del path, subject, artifact_type
        return None

    def tags(self, path: str) -> list[str]:
        prefix = checked_path(path) + ":"
        entries = self._folder.entries()
        found = sorted({_ref_name(entry).removeprefix(prefix) for entry in entries if _ref_name(entry).startswith(prefix)})
        if not found and not any(_annotations(entry).get(REPOSITORY) == path for entry in entries):
            raise self._missing(path)
        return found

    def _tagged(self, path: str, tag: str) -> dict[str, Any]:
        entry = next((entry for entry in self._folder.entries() if _ref_name(entry) == f"{path}:{tag}"), None)
        if entry is None:
            raise self._missing(f"{path}:{tag}")
        return entry

    def _missing(self, what: str) -> ImageNotFound:
        return ImageNotFound(f"The layout folder {self._folder.path} has no {what}.", next_step="Check the name, or copy the image into the folder.")


def _names(path: str, tag: str | None) -> dict[str, str]:
    """How an entry says which repository it belongs to, and which tag it has there."""
    return {REPOSITORY: checked_path(path)} if tag is None else {REF_NAME: f"{checked_path(path)}:{checked_tag(tag)}"}


def _enter(entries: list[dict[str, Any]], content: bytes, media_type: str, annotations: dict[str, str]) -> None:
    """Name a manifest in the folder's index. What had the tag before loses it."""
    entry = {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content), "annotations": annotations}
    tag = annotations.get(REF_NAME)
    entries[:] = [other for other in entries if other != entry and (tag is None or _ref_name(other) != tag)]
    entries.append(entry)


def _annotations(entry: dict[str, Any]) -> dict[str, str]:
    return entry.get("annotations") or {}


def _ref_name(entry: dict[str, Any]) -> str:
    return _annotations(entry).get(REF_NAME, "")
