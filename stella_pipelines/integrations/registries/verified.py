"""Copying bytes under a limit and against a digest: the one place where both adapters decide whether content is genuine."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.port import AnswerTooLarge, RegistryLied

CHUNK_BYTES: Final = 256 * 1024
"""How much of a file is in memory at once."""


def copy_verified(chunks: Iterable[bytes], file: BinaryIO, digest: Digest, bytes_max: int, origin: str) -> int:
    """Write `chunks` to `file` and return their size. Raises when they exceed `bytes_max` or do not hash to `digest`."""
    hashed, size = hashlib.sha256(), 0
    for chunk in bounded(chunks, bytes_max, origin):
        hashed.update(chunk)
        file.write(chunk)
        size += len(chunk)
    require_digest(digest, Digest("sha256:" + hashed.hexdigest()), origin)
    return size


def bounded(chunks: Iterable[bytes], bytes_max: int, origin: str) -> Iterator[bytes]:
    """`chunks`, as long as they fit into `bytes_max`. The chunk that does not fit is never handed on."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > bytes_max:
            raise AnswerTooLarge(f"{origin} sent more than {bytes_max} bytes.", next_step="Check what is stored there; content of this size is not read.")
        yield chunk


def file_chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file, piece by piece."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def require_digest(wanted: Digest, found: Digest, origin: str) -> None:
    """Nothing, when they are equal. Otherwise the content is not what it claims to be, whoever changed it."""
    if not hmac.compare_digest(wanted, found):
        raise RegistryLied(
            f"{origin} served content for {wanted} that hashes to {found}.",
            unchanged="The content was thrown away; nothing was changed.",
            next_step="Do not use this registry until you know who changed the content: storage fault, proxy, or an attack.",
        )


def digest_of_rest(file: BinaryIO) -> Digest:
    """The digest of a file from its present position to its end, where the position is left."""
    hashed = hashlib.sha256()
    for chunk in file_chunks(file):
        hashed.update(chunk)
    return Digest("sha256:" + hashed.hexdigest())
