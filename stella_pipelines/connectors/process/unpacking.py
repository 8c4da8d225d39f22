"""Unpacking one layer of an image into a folder, believing nothing in it (OCI image specification, layer.md).

- A member whose path is absolute or has `..` in it, a device, a pipe, or a link that leads out of the image is refused, and with it the image.
- A member's parent folders are found inside the image's root, never through a link on this machine.
- Absolute links, which images are full of, are rewritten to relative ones that mean the same.
- What describes a member (PAX and GNU headers, sparse maps) is held in memory, and is bounded apart from the files themselves.
- Owners, set-user-id bits, times and extended attributes are dropped: everything belongs to whoever runs this.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from stella_pipelines.connectors.port import ConnectorError
from stella_pipelines.connectors.process.files import remove_tree
from stella_pipelines.connectors.process.rootfs import LinkLoop, inside

MEMBERS_MAX: Final = 1_000_000
"""Files, folders and links of one image."""
HEADERS_BYTES_MAX: Final = 1024 * 1024
"""What stands before one member's content: its header, long names, attributes. The limit of Go's tar reader, which engines use."""
PATH_BYTES_MAX: Final = 4096
"""A path or link target; the kernel's own limit."""
DEPTH_MAX: Final = 200
"""Folders inside each other. Deeper ones could not be removed again by a recursive program."""
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"


class ImageUnsafe(ConnectorError):
    """An image contains something that is not unpacked on this machine: a path or link that escapes, a device, more than the limits allow."""

    code = "DEPLOY_IMAGE_UNSAFE"


class Unpacking:
    """One image being unpacked into `root`, layer by layer. `bytes_left` and `members_left` only go down."""

    def __init__(self, root: Path, bytes_max: int, members_max: int = MEMBERS_MAX) -> None:
        self._root = root
        self._bytes_left = bytes_max
        self._members_left = members_max
        self._written: set[Path] = set()

    def layer(self, tar_stream: BinaryIO) -> None:
        """Apply one uncompressed layer on top of the ones before it."""
        self._written = set()
        try:
            for tar, member in _members(tar_stream):
                self._spend(member)
                self._apply(tar, member)
        except (ValueError, LookupError, RecursionError) as error:  # what the library raises on headers that contradict themselves
            raise _unsafe(f"a layer's headers cannot be read ({type(error).__name__})") from error

    def _spend(self, member: tarfile.TarInfo) -> None:
        self._members_left -= 1
        self._bytes_left -= max(member.size, 0)
        if self._members_left < 0 or self._bytes_left < 0:
            raise _unsafe("it unpacks to more than the limits allow")

    def _apply(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = _parts(member.name)
        if not parts:
            return  # the root folder itself
        folder, name = self._folder(parts[:-1]), parts[-1]
        if name == _OPAQUE:
            self._clear(folder)
        elif name.startswith(_WHITEOUT):
            _remove(folder / _plain(name.removeprefix(_WHITEOUT), member))
        else:
            self._create(tar, member, folder / name)
            self._written.add(folder / name)

    def _folder(self, parts: tuple[str, ...]) -> Path:
        try:
            folder = inside(self._root, "/".join(parts))
        except LinkLoop as error:
            raise _unsafe(str(error)) from error
        if len(folder.relative_to(self._root).parts) > DEPTH_MAX:
            raise _unsafe(f"it has more than {DEPTH_MAX} folders inside each other")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _unsafe(f"{_told('/'.join(parts))} is a folder in one place and a file in another") from error
        self._written.add(folder)
        return folder

    def _clear(self, folder: Path) -> None:
        """Everything that earlier layers put into the folder goes; what this layer wrote stays."""
        for child in folder.iterdir():
            if child not in self._written:
                _remove(child)

    def _create(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        if member.isdir():
            _make_folder(path, member.mode)
            return
        _remove(path)
        if member.issym():
            path.symlink_to(self._link_target(member.linkname, path))
        elif member.islnk():
            self._hard_link(member, path)
        elif member.isreg():
            _write_file(tar, member, path)
        else:
            raise _unsafe(f"{_told(member.name)} is a device or a pipe")

    def _hard_link(self, member: tarfile.TarInfo, path: Path) -> None:
        parts = _parts(member.linkname)
        source = self._folder(parts[:-1]) / parts[-1] if parts else self._root
        if source.is_symlink() or not source.is_file():
            raise _unsafe(f"{_told(member.name)} is a hard link to {_told(member.linkname)}, which is no file in the image")
        path.hardlink_to(source)

    def _link_target(self, target: str, link: Path) -> str:
        """The target as a relative link. `..` is accepted at its start only: behind a folder that is itself a link, it could lead anywhere."""
        _require_short(target)
        if target.startswith("/"):
            target = os.path.relpath(PurePosixPath("/", *_parts(target.lstrip("/"))), PurePosixPath("/", link.parent.relative_to(self._root)))
        parts = [part for part in PurePosixPath(target).parts if part != "."]
        ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
        if ".." in parts[ups:] or ups > len(link.parent.relative_to(self._root).parts):
            raise _unsafe(f"the link {_told(str(link.relative_to(self._root)))} leads to {_told(target)}, out of the image")
        return target


class _Rationed(io.RawIOBase):
    """Hands `source` on up to the place `until`, which its reader moves: so a header that claims to be huge is not read into memory."""

    def __init__(self, source: BinaryIO, until: int) -> None:
        super().__init__()
        self._source = source
        self._position = 0
        self.until = until

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        content = self._source.read(size)
        self._position += len(content)
        if self._position > self.until + tarfile.RECORDSIZE:  # the library reads in records, so one of them may be ahead
            raise _unsafe(f"the headers of one file in it are larger than {HEADERS_BYTES_MAX} bytes")
        return content


def _members(tar_stream: BinaryIO) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members of a layer, one after the other. What the library remembers of earlier ones is thrown away: it would grow without a limit."""
    stream = _Rationed(tar_stream, HEADERS_BYTES_MAX)
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        while (member := tar.next()) is not None:
            stream.until = tar.offset + HEADERS_BYTES_MAX  # `offset` is where the next member's headers begin
            yield tar, member
            tar.members.clear()  # type: ignore[attr-defined]  # the stub leaves it out; `getmembers` would read the whole layer
            tar.pax_headers = {}


def _require_short(path: str) -> None:
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise _unsafe(f"the path {_told(path)}… is longer than {PATH_BYTES_MAX} bytes")


def _told(name: str) -> str:
    """A name out of the image, fit for a sentence: short, and without control characters."""
    return repr(name[:200])


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a member's path, which is relative and without `..`."""
    _require_short(name)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise _unsafe(f"the path {_told(name)} leads out of the image")
    return path.parts


def _plain(name: str, member: tarfile.TarInfo) -> str:
    if name in ("", ".", ".."):
        raise _unsafe(f"{_told(member.name)} removes no file")
    return name


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _make_folder(path: Path, mode: int) -> None:
    """A folder that we can enter and empty, whatever the image says."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(exist_ok=True)
    path.chmod(mode & 0o777 | 0o700)


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise _unsafe(f"{_told(member.name)} has no content")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file)
    path.chmod(member.mode & 0o777 | 0o400)


def _unsafe(what: str) -> ImageUnsafe:
    return ImageUnsafe(f"The image is not unpacked: {what}.", next_step="Rebuild the image without it, or run it on a Docker target, which isolates it.")
