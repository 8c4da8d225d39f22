"""The file around an export: every program opens it, and it is read in one form only."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from stella_pipelines.evidence.exports import container
from stella_pipelines.evidence.exports.container import DEFLATED, STORED, Member
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
from stella_pipelines.evidence.exports.opening import opened
from tests.support.exports import raw_zip

MEMBERS = [("index.html", b"<p>" * 500, DEFLATED), ("empty", b"", STORED), ("folder/file.json", b"{}", STORED)]


def test_another_program_reads_it(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a.zip", MEMBERS)
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert [(one.filename, file.read(one)) for one in file.infolist()] == [(name, content) for name, content, _ in MEMBERS]
    with opened(path) as ours:
        assert [(name, ours.content(name)) for name in ours.members] == [(name, content) for name, content, _ in MEMBERS]


def test_a_file_of_more_than_4_gib_and_65535_members_is_a_zip_too(tmp_path: Path) -> None:
    members = [Member(name, STORED, 0, 3 * 2**30, 3 * 2**30, 0) for name in ("first", "second")]
    members += [*(Member(f"m{number}", STORED, 0, 0, 0, 0) for number in range(65_536))]
    placed, place = [], 0
    for member in members:
        placed.append(Member(member.name, member.method, member.crc, member.packed_size, member.size, place))
        place = placed[-1].end
    path = tmp_path / "far.zip"
    with path.open("wb") as file:
        file.seek(place)
        file.write(container.directory(placed))
    with zipfile.ZipFile(path) as theirs:
        assert [one.header_offset for one in theirs.infolist()] == [one.offset for one in placed]
    with opened(path) as ours:
        assert list(ours.members.values()) == placed


@pytest.mark.parametrize("cut", [1, 5, 22, 40, 200])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    path = raw_zip(tmp_path / "a.zip", MEMBERS)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ExportTruncated), opened(path):
        pass


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip" * 100, b"PK\x05\x06" + b"\0" * 17])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(ExportTruncated), opened(path):
        pass


def test_bytes_before_between_and_behind_are_refused(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a.zip", MEMBERS)
    content = path.read_bytes()
    for changed in (b"\0" + content, content + b"\0", content[:100] + b"\0" + content[100:]):
        path.write_bytes(changed)
        with pytest.raises(ExportTruncated), opened(path):
            pass


def test_an_ordinary_zip_is_refused(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("index.html", "hello")
    path = tmp_path / "a.zip"
    path.write_bytes(made.getvalue())
    with pytest.raises(ExportMalformed), opened(path):
        pass


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "C:evil", "a\\b", ".hidden", "a//b", "a/", "UPPER", "n\u00e4me", "x" * 129, ""])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    assert not container.is_safe(name)
    if name.isascii():
        path = raw_zip(tmp_path / "a.zip", [(name, b"", STORED)])
        with pytest.raises(MemberNameUnsafe), opened(path):
            pass


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a.zip", [("same", b"1", STORED), ("same", b"2", STORED)])
    with pytest.raises(MemberTwice), opened(path):
        pass


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a.zip", MEMBERS)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(MemberEncrypted), opened(path):
        pass


def test_a_member_is_read_only_as_far_as_it_says(tmp_path: Path) -> None:
    zeros = b"\0" * (8 * 1024 * 1024)
    packed = container.packed(zeros, DEFLATED)
    assert container.unpacked(packed, DEFLATED, len(zeros)) == zeros
    assert container.unpacked(packed, DEFLATED, 100) is None
    assert container.unpacked(packed[:-1], DEFLATED, len(zeros)) is None
    assert container.unpacked(packed + b"x", DEFLATED, len(zeros)) is None
    assert container.unpacked(b"\xff" * 10, DEFLATED, 1) is None
    assert container.unpacked(b"12", STORED, 1) is None
    path = raw_zip(tmp_path / "a.zip", [("zeros", zeros, DEFLATED)])
    with opened(path) as file, pytest.raises(ExportTooLarge):
        file.content("zeros", 1024)


def test_a_member_that_is_not_there_or_has_another_checksum(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a.zip", MEMBERS)
    content = path.read_bytes()
    with opened(path) as file, pytest.raises(MemberMissing):
        file.content("nothing")
    path.write_bytes(content.replace(b"{}PK", b"[]PK"))
    with opened(path) as file, pytest.raises(MemberChanged):
        file.content("folder/file.json")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ExportUnreadable), opened(tmp_path / "nothing.zip"):
        pass
