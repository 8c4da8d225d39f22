"""Opening an export's file: the ZIP's own records, read strictly, and one member after the other. Trusts nothing, and says nothing about contents.

The work and the memory are bounded by the file's end records, which must fit the file's size, and by the limits of `container`: a gigabyte of
zeros is refused after one look at its last bytes.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from stella_pipelines.evidence.exports import container
from stella_pipelines.evidence.exports.container import CENTRAL, DEFLATED, END, END64_BYTES, END_BYTES, STORED, Member
from stella_pipelines.evidence.exports.errors import (
    ExportMalformed,
    ExportTooLarge,
    ExportTruncated,
    ExportUnreadable,
    MemberChanged,
    MemberEncrypted,
    MemberMissing,
    MemberNameUnsafe,
    MemberTwice,
)

_ENCRYPTED: Final = 0x1 | 0x40
_U16_MAX, _U32_MAX = 0xFFFF, 0xFFFFFFFF
_DIRECTORY_BYTES_MAX: Final = container.MEMBERS_MAX * (CENTRAL.size + container.NAME_CHARACTERS_MAX)


class OpenedFile:
    """An export's file whose directory is in its one form."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self.members = {member.name: member for member in self._read_directory()}

    def content(self, name: str, bytes_max: int = container.MEMBER_BYTES_MAX) -> bytes:
        """A member's content; at most `bytes_max`."""
        return self.both(name, bytes_max)[0]

    def both(self, name: str, bytes_max: int = container.MEMBER_BYTES_MAX) -> tuple[bytes, bytes]:
        """A member's content, and the bytes that stand for it in the file."""
        member = self.members.get(name)
        if member is None:
            raise MemberMissing(f"The export has no {name}.")
        if max(member.size, member.packed_size) > min(bytes_max, container.MEMBER_BYTES_MAX):
            raise ExportTooLarge(f"{name} has {max(member.size, member.packed_size)} bytes; at most {bytes_max} are read.")
        whole = self._read(member.offset, member.end - member.offset)
        header = container.local_header(member)
        if not whole.startswith(header):
            raise ExportMalformed(f"What stands before {name} in the file is not what the directory says of it.")
        packed = whole[len(header) :]
        content = container.unpacked(packed, member.method, member.size)
        if content is None or zlib.crc32(content) != member.crc:
            raise MemberChanged(f"{name} does not unpack to the {member.size} bytes that the file's directory tells of.")
        return content, packed

    def _read_directory(self) -> list[Member]:
        count, start, stop = self._place_of_directory()
        content = self._read(start, stop - start)
        members = _members_in(content, count)
        place = 0
        for member in members:
            if member.offset != place:
                raise ExportMalformed(f"{member.name} does not begin where the member before it ends.")
            place = member.end
        if place != start:
            raise ExportMalformed("The directory does not begin where the last member ends.")
        if container.directory(members) != self._read(start, self._size - start):
            raise ExportMalformed("The file's directory and end are not written in the one form of an export.")
        return members

    def _place_of_directory(self) -> tuple[int, int, int]:
        """How many members there are, and where the directory begins and ends."""
        if self._size < END_BYTES:
            raise ExportTruncated(f"The file has {self._size} bytes, and is no export.")
        last = self._read(self._size - END_BYTES, END_BYTES)
        signature, _, _, _, count, length, start, _ = END.unpack(last)
        if signature != b"PK\x05\x06":
            raise ExportTruncated("The file does not end as an export ends: it was cut off, or it is something else.")
        stop = self._size - END_BYTES
        if count == _U16_MAX or _U32_MAX in (length, start):
            stop -= END64_BYTES
            found = container.read_end64(self._read(stop, END64_BYTES)) if stop >= 0 else None
            if found is None:
                raise ExportTruncated("The file's end lacks the records of a large file.")
            count, length, start = found
        if count > container.MEMBERS_MAX or length > _DIRECTORY_BYTES_MAX:
            raise ExportTooLarge(f"The file's directory tells of {count} members; an export has at most {container.MEMBERS_MAX}.")
        if start + length != stop:
            raise ExportTruncated("Parts of the file are missing, or were added: its end tells of another size.")
        return count, start, stop

    def _read(self, place: int, length: int) -> bytes:
        try:
            self._file.seek(place)
            found = self._file.read(length)
        except OSError as error:
            raise ExportUnreadable(f"The export cannot be read: {error.strerror or error}.") from error
        if len(found) != length:
            raise ExportTruncated("The file became shorter while it was read.")
        return found


@contextmanager
def opened(path: Path) -> Iterator[OpenedFile]:
    """The export's file at a path."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ExportUnreadable(f"{path} cannot be opened: {error.strerror or error}.") from error
    with file:
        yield OpenedFile(file)


def _members_in(content: bytes, count: int) -> list[Member]:
    members: list[Member] = []
    names: set[str] = set()
    place = 0
    for _ in range(count):
        if place + CENTRAL.size > len(content):
            raise ExportTruncated("The file's directory tells of more members than it lists.")
        signature, _, _, flags, method, _, _, crc, packed_size, size, name_length, extra_length, *_, offset = CENTRAL.unpack_from(content, place)
        place += CENTRAL.size
        name = _name(content[place : place + name_length])
        extra = content[place + name_length : place + name_length + extra_length]
        place += name_length + extra_length
        if signature != b"PK\x01\x02" or method not in (STORED, DEFLATED):
            raise ExportMalformed("The file's directory is not that of an export.")
        if flags & _ENCRYPTED:
            raise MemberEncrypted(f"{name} is encrypted.")
        if name in names:
            raise MemberTwice(f"Two members are called {name}.")
        names.add(name)
        beyond = container.place_in(extra) if offset == _U32_MAX else None
        members.append(Member(name, method, crc, packed_size, size, offset if beyond is None else beyond))
    return members


def _name(content: bytes) -> str:
    name = content.decode("ascii", "replace")
    if not container.is_safe(name):
        raise MemberNameUnsafe(f"The member's name {name[:80]!r} is none that an export gives.")
    return name
