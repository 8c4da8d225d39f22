"""The version sticker's way into a container and out again: the engine takes and gives files as tar archives. Pure."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from typing import Final

from stella_pipelines.core.limits import STICKER_BYTES_MAX

STICKER_NAME: Final = "stella.version.json"
STICKER_PATH: Final = f"/{STICKER_NAME}"
_ARCHIVE_BYTES_MAX: Final = STICKER_BYTES_MAX + 64 * 1024
"""The sticker with the archive's own headers and padding."""


def packed(sticker: bytes) -> bytes:
    """The sticker as an archive to put into a container's root: readable by everybody, writable by nobody, the same bytes every time."""
    member = tarfile.TarInfo(STICKER_NAME)
    member.size, member.mode, member.mtime = len(sticker), 0o444, 0
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(sticker))
    return archive.getvalue()


def unpacked(chunks: Iterable[bytes]) -> bytes | None:
    """The sticker out of an archive, or None when there is no regular file of that name and a sane size in it."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > _ARCHIVE_BYTES_MAX:
            return None
    try:
        with tarfile.open(fileobj=io.BytesIO(bytes(content)), mode="r:") as tar:
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isreg() and member.name == STICKER_NAME else None
            return file.read(STICKER_BYTES_MAX + 1) if file is not None and member is not None and member.size <= STICKER_BYTES_MAX else None
    except tarfile.TarError:
        return None
