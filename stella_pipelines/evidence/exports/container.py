"""The file around an export: a ZIP in one exact form, so that every program opens it and no byte of it is free. Pure.

Members stand one after the other from the first byte on, stored or deflated, with one fixed time, plain names, and no flags, comments or extra
fields (but the one of ZIP64, where a place is beyond 4 GiB). Then follow the directory and the end record. All but the members' own bytes
follows from their names, sizes and checksums; so a reader writes it anew and compares. Based on PKWARE's APPNOTE 6.3.10.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

STORED: Final = 0
DEFLATED: Final = 8
MEMBER_BYTES_MAX: Final = 96 * 1024 * 1024
"""One member, packed or not: the largest blob of a store has 64 MiB, and a member is in memory once."""
MEMBERS_MAX: Final = 250_000
NAME_CHARACTERS_MAX: Final = 128
END_BYTES: Final = 22
END64_BYTES: Final = 56 + 20
_LEVEL: Final = 6
_FIXED_DATE: Final = 0x0021  # 1980-01-01, the first day that a ZIP knows
_VERSION: Final = 20
_VERSION_64: Final = 45
_U16_MAX, _U32_MAX = 0xFFFF, 0xFFFFFFFF
LOCAL: Final = struct.Struct("<4s5H3L2H")
CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64: Final = struct.Struct("<4sLQL")
_PLACE64: Final = struct.Struct("<2HQ")
_SAFE: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the directory tells it. `offset`: where its header begins."""

    name: str
    method: int
    crc: int
    packed_size: int
    size: int
    offset: int

    @property
    def content_offset(self) -> int:
        """Where its bytes begin."""
        return self.offset + LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.content_offset + self.packed_size


def is_safe(name: str) -> bool:
    """Whether a member may have this name: lower case, no part that begins with a dot, nothing that leads out of a folder."""
    return len(name) <= NAME_CHARACTERS_MAX and _SAFE.fullmatch(name) is not None


def packed(content: bytes, method: int) -> bytes:
    """The bytes as they stand in the file."""
    if method == STORED:
        return content
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(content) + deflate.flush()


def unpacked(content: bytes, method: int, size: int) -> bytes | None:
    """The member's content, if it is exactly of this size. Nothing is unpacked beyond one byte more."""
    if method == STORED:
        return content if len(content) == size else None
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = inflate.decompress(content, size + 1)
    except zlib.error:
        return None
    return found if inflate.eof and not inflate.unused_data and not inflate.unconsumed_tail and len(found) == size else None


def local_header(member: Member) -> bytes:
    """What stands before a member's bytes."""
    name = member.name.encode()
    sizes = (member.crc, member.packed_size, member.size)
    return LOCAL.pack(b"PK\x03\x04", _VERSION, 0, member.method, 0, _FIXED_DATE, *sizes, len(name), 0) + name


def directory(members: Sequence[Member]) -> bytes:
    """Everything behind the last member: the directory and the end records."""
    entries = b"".join(map(_directory_entry, members))
    start = members[-1].end if members else 0
    end64 = b""
    if len(members) >= _U16_MAX or start >= _U32_MAX or len(entries) >= _U32_MAX:
        where = (len(members), len(members), len(entries), start)
        end64 = _END64.pack(b"PK\x06\x06", _END64.size - 12, _VERSION_64, _VERSION_64, 0, 0, *where)
        end64 += _LOCATOR64.pack(b"PK\x06\x07", 0, start + len(entries), 1)
    count = min(len(members), _U16_MAX)
    return entries + end64 + END.pack(b"PK\x05\x06", 0, 0, count, count, min(len(entries), _U32_MAX), min(start, _U32_MAX), 0)


def read_end64(content: bytes) -> tuple[int, int, int] | None:
    """Count, length and place of the directory, from the two ZIP64 records before the end record; None if they are none."""
    signature, *_, count, length, start = _END64.unpack_from(content)
    return (count, length, start) if signature == b"PK\x06\x06" else None


def place_in(extra: bytes) -> int | None:
    """A member's place beyond 4 GiB, from its extra field."""
    if len(extra) != _PLACE64.size:
        return None
    tag, length, place = _PLACE64.unpack(extra)
    return int(place) if (tag, length) == (1, 8) else None


def _directory_entry(member: Member) -> bytes:
    name = member.name.encode()
    far = member.offset >= _U32_MAX
    extra = _PLACE64.pack(1, 8, member.offset) if far else b""
    head = (_VERSION_64 if far else _VERSION, 0, member.method, 0, _FIXED_DATE, member.crc, member.packed_size, member.size)
    return CENTRAL.pack(b"PK\x01\x02", _VERSION, *head, len(name), len(extra), 0, 0, 0, 0, min(member.offset, _U32_MAX)) + name + extra
