"""A layer's bytes on their way from the registry's blob to the tar reader: decompressed, counted, and hashed against the config's diff id."""

from __future__ import annotations

import gzip
import hashlib
import io
from typing import BinaryIO, Final, cast

from stella_pipelines.connectors.port import DigestMismatch
from stella_pipelines.connectors.process.unpacking import ImageUnsafe
from stella_pipelines.core.digest import Digest

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_CHUNK_BYTES: Final = 256 * 1024


class HashedStream(io.RawIOBase):
    """Reads `source`, hashing what passes; more than `bytes_max` is refused: headers and padding can be a bomb too."""

    def __init__(self, source: BinaryIO, bytes_max: int) -> None:
        super().__init__()
        self._source = source
        self._bytes_left = bytes_max
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        content = self._source.read(_CHUNK_BYTES if size < 0 else size)
        self._bytes_left -= len(content)
        if self._bytes_left < 0:
            raise ImageUnsafe("The image is not unpacked: a layer is larger than the limits allow.", next_step="Make the image smaller.")
        self._hash.update(content)
        return content

    def require(self, diff_id: Digest) -> None:
        """Read the rest; raise unless everything that passed hashes to `diff_id`."""
        while self.read(_CHUNK_BYTES):
            pass
        found = Digest("sha256:" + self._hash.hexdigest())
        if found != diff_id:
            raise DigestMismatch(f"A layer unpacks to {found}; the image's config says {diff_id}.", next_step="The image was put together wrongly; rebuild it.")


def decompressed(blob: BinaryIO) -> BinaryIO:
    """The tar inside a layer's blob, judged by its first bytes: media types have been wrong before."""
    magic = blob.read(4)
    blob.seek(0)
    if magic.startswith(_ZSTD):
        raise ImageUnsafe("The image is not unpacked: a layer is compressed with zstd.", next_step="Build it with gzip layers for process targets.")
    return cast("BinaryIO", gzip.GzipFile(fileobj=blob)) if magic.startswith(_GZIP) else blob
