"""The files of an OCI image layout (image-spec 1.1, image-layout.md): blobs by digest, `index.json`, and writing both safely.

Every write goes to a temporary file and is renamed into place when it is complete and verified; `index.json` is changed under a
lock, so that several processes may share a folder. What the entries mean is `layout.py`'s business.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from stella_pipelines.core.digest import Digest, InvalidDigest
from stella_pipelines.integrations.registries.port import OCI_INDEX, ImageNotFound, RegistryError
from stella_pipelines.integrations.registries.verified import copy_verified, file_chunks

INDEX_BYTES_MAX: Final = 64 * 1024 * 1024
"""The folder's index.json; 100,000 tags take about 30 MB."""
LAYOUT_VERSION: Final = "1.0.0"
_MARKER: Final = json.dumps({"imageLayoutVersion": LAYOUT_VERSION}).encode()


class LayoutUnusable(RegistryError):
    """The folder is no OCI image layout of version 1.0.0, or cannot be read or written."""

    code = "INT_LAYOUT_UNUSABLE"


class LayoutFolder:
    """One folder. It is created by the first write; reading a folder that is not there is an error, not an empty registry."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[dict[str, Any]]:
        """The entries of `index.json`, with whatever other tools have written into them."""
        with self._translated():
            self._require_layout()
            return self._read_entries()

    @contextmanager
    def changing_entries(self) -> Iterator[list[dict[str, Any]]]:
        """The entries, to be changed in place inside the `with`; nobody else changes them meanwhile."""
        with self._translated():
            self._create()
            with (self.path / ".index.lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                entries = self._read_entries()
                yield entries
                with _replacing(self.path / "index.json") as file:
                    file.write(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, indent=2).encode())

    def read_blob(self, digest: Digest, file: BinaryIO, bytes_max: int) -> int:
        """Copy a blob into `file`, verified; returns its size."""
        with self._translated():
            self._require_layout()
            if not self.has_blob(digest):
                raise ImageNotFound(f"The layout folder {self.path} has no content {digest}.", next_step="Check the digest, or copy the image into the folder.")
            with self._blob_file(digest).open("rb") as source:
                return copy_verified(file_chunks(source), file, digest, bytes_max, f"The layout folder {self.path}")

    def has_blob(self, digest: Digest) -> bool:
        """Whether there is a file for this digest."""
        return self._blob_file(digest).is_file()

    def write_blob(self, digest: Digest, file: BinaryIO, bytes_max: int) -> None:
        """Store the rest of `file` as the blob `digest`. What hashes to something else leaves no trace."""
        with self._translated():
            self._create()
            with _replacing(self._blob_file(digest)) as written:
                copy_verified(file_chunks(file), written, digest, bytes_max, "The given file")

    def _blob_file(self, digest: Digest) -> Path:
        return self.path / "blobs" / "sha256" / Digest(digest).hex

    def _read_entries(self) -> list[dict[str, Any]]:
        index = self.path / "index.json"
        if not index.exists():
            return []
        if index.stat().st_size > INDEX_BYTES_MAX:
            raise self._unusable(f"its index.json is larger than {INDEX_BYTES_MAX} bytes")
        document = json.loads(index.read_bytes())
        entries: list[dict[str, Any]] = document["manifests"]
        for entry in entries:
            Digest(entry["digest"])
            entry["mediaType"]
            dict(entry.get("annotations") or {})
        return entries

    def _create(self) -> None:
        """Make the folder a layout. A folder that holds something else is left alone."""
        (self.path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        if not (self.path / "oci-layout").exists():
            with _replacing(self.path / "oci-layout") as file:
                file.write(_MARKER)
        self._require_layout()

    def _require_layout(self) -> None:
        marker = self.path / "oci-layout"
        if not marker.is_file() or json.loads(marker.read_bytes()).get("imageLayoutVersion") != LAYOUT_VERSION:
            raise self._unusable(f"it has no oci-layout file of version {LAYOUT_VERSION}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unusable(str(error)) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidDigest) as error:
            raise self._unusable(f"its index.json or oci-layout cannot be understood ({type(error).__name__})") from error

    def _unusable(self, reason: str) -> LayoutUnusable:
        return LayoutUnusable(
            f"The folder {self.path} cannot be used as an OCI image layout: {reason}.", next_step="Check the path, its rights and the free disk space."
        )


@contextmanager
def _replacing(final: Path) -> Iterator[BinaryIO]:
    """A new file that takes its final name, durable, when the block ends well, and is removed when it does not."""
    descriptor, name = tempfile.mkstemp(dir=final.parent, prefix=".incoming-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(name, final)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
