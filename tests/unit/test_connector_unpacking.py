"""Unpacking images whose layers want out: every trick is refused, and what is honest arrives."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stella_pipelines.connectors.port import DigestMismatch
from stella_pipelines.connectors.process.layers import HashedStream, decompressed
from stella_pipelines.connectors.process.rootfs import LinkLoop, inside
from stella_pipelines.connectors.process.unpacking import ImageUnsafe, Unpacking
from stella_pipelines.core.digest import Digest

Entry = tuple[str, bytes, bytes | str, int]


def file(name: str, content: bytes = b"x", mode: int = 0o644) -> Entry:
    return name, tarfile.REGTYPE, content, mode


def folder(name: str, mode: int = 0o755) -> Entry:
    return name, tarfile.DIRTYPE, b"", mode


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Entry:
    return name, kind, target, 0o777


def layer(*entries: Entry) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, content, mode in entries:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, mode
            if isinstance(content, str):
                member.linkname = content
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) and content else None)
    buffer.seek(0)
    return buffer


def unpack(folder: Path, *layers: io.BytesIO, bytes_max: int = 10_000, members_max: int = 100) -> Path:
    root = folder / "outside" / "root"
    root.mkdir(parents=True)
    unpacking = Unpacking(root, bytes_max, members_max)
    for one in layers:
        unpacking.layer(one)
    return root


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


# ---------------------------------------------------------------- honest layers


def test_later_layers_lie_over_earlier_ones(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(file("etc/a", b"1"), file("etc/b", b"1")), layer(file("etc/b", b"2"), file("./etc/c", b"2")))
    assert [(root / "etc" / name).read_bytes() for name in "abc"] == [b"1", b"2", b"2"]


def test_whiteouts_remove_what_earlier_layers_brought(tmp_path: Path) -> None:
    first = layer(file("etc/a"), file("etc/b"), file("var/x/deep"), file("var/y"))
    second = layer(file("etc/.wh.a"), file("var/new"), file("var/.wh..wh..opq"))
    assert everything(unpack(tmp_path, first, second)) == {"etc", "etc/b", "var", "var/new"}


def test_absolute_links_lead_where_the_image_means(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(file("bin/busybox", b"box"), link("usr/bin/sh", "/bin/busybox"), link("lib", "/usr/lib"), file("lib/so", b"so")))
    assert (root / "usr/bin/sh").read_bytes() == b"box"
    assert (root / "usr/lib/so").read_bytes() == b"so"


def test_a_folder_becomes_a_file_and_back(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(file("a/b"), file("c")), layer(file("a", b"file"), folder("c"), file("c/d")))
    assert (root / "a").read_bytes() == b"file"
    assert (root / "c/d").is_file()


def test_rights_are_bounded_and_owners_dropped(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(file("su", mode=0o6755), folder("locked", mode=0o000), file("none", mode=0)))
    assert [(root / name).stat().st_mode & 0o7777 for name in ("su", "locked", "none")] == [0o755, 0o700, 0o400]


def test_hard_links_join_files_of_the_image(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(file("a", b"one"), link("b/c", "a", tarfile.LNKTYPE)))
    assert (root / "b/c").samefile(root / "a")


def test_a_link_that_an_earlier_layer_left_is_replaced_and_not_followed(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(file("real", b"old"), link("name", "real")), layer(file("name", b"new")))
    assert ((root / "real").read_bytes(), (root / "name").read_bytes()) == (b"old", b"new")


# ---------------------------------------------------------------- tricks


@pytest.mark.parametrize(
    "entries",
    [
        [file("/etc/passwd")],
        [file("../up")],
        [file("a/../../up")],
        [link("up", "../..")],
        [link("a/up", "../../outside")],
        [folder("a/b"), link("a/b/s", "/"), link("x", "a/b/s/../../..")],
        [link("a/up", "x/../../..")],
        [link("hard", "../../secret", tarfile.LNKTYPE)],
        [link("hard", "/etc/passwd", tarfile.LNKTYPE)],
        [link("soft", "/etc/passwd"), link("hard", "soft", tarfile.LNKTYPE)],
        [link("hard", "nowhere", tarfile.LNKTYPE)],
        [("dev/sda", tarfile.BLKTYPE, b"", 0o600)],
        [("dev/null", tarfile.CHRTYPE, b"", 0o600)],
        [("pipe", tarfile.FIFOTYPE, b"", 0o600)],
        [file("a/.wh...")],
        [file("a/.wh.")],
        [file("a"), file("a/b")],
        [link("x", "y"), link("y", "x"), file("x/z")],
    ],
)
def test_what_wants_out_is_refused(tmp_path: Path, entries: list[Entry]) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("untouched")
    (tmp_path / "outside" / "secret").rename(tmp_path / "secret")
    with pytest.raises(ImageUnsafe):
        unpack_into(tmp_path, *entries)
    assert (tmp_path / "secret").read_text() == "untouched"
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "secret"}
    assert {path.name for path in (tmp_path / "outside").iterdir()} == {"root"}


def unpack_into(base: Path, *entries: Entry) -> None:
    (base / "outside" / "root").mkdir()
    Unpacking(base / "outside" / "root", 10_000, 100).layer(layer(*entries))


def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ImageUnsafe):
        unpack(tmp_path, layer(file("a", b"x" * 600)), layer(file("b", b"x" * 600)), bytes_max=1_000)
    assert not (tmp_path / "outside/root/b").exists()


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageUnsafe):
        unpack(tmp_path, layer(*(folder(f"d{number}") for number in range(11))), members_max=10)


# ---------------------------------------------------------------- headers


class Counted(io.BytesIO):
    """Counts what was read of it, and goes on for ever with numbers: a claim of any size can be believed."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0
        content = (super().read(size) + b"0\n" * size)[:size]
        self.read_bytes += len(content)
        assert self.read_bytes < 8_000_000, "the headers are read into memory"
        return content


def header(name: str, kind: bytes, size: int, content: bytes = b"") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT) + content.ljust(-(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, b"\0")


def pax(**values: str) -> bytes:
    member = tarfile.TarInfo("file")
    member.pax_headers = {name.replace("_", "."): value for name, value in values.items()}
    return member.tobuf(tarfile.PAX_FORMAT)


GIB = 1024**3


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("first", [b"", header("before", tarfile.REGTYPE, 600, b"x" * 600)])
def test_a_header_that_claims_to_be_huge_is_not_read_into_memory(tmp_path: Path, kind: bytes, first: bytes) -> None:
    with pytest.raises(ImageUnsafe, match="larger than"):
        unpack(tmp_path, Counted(first + header("long", kind, 4 * GIB)))


def test_the_size_of_a_link_is_no_credit_for_headers(tmp_path: Path) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname, member.size = tarfile.SYMTYPE, "x", 9_000_000
    with pytest.raises(ImageUnsafe, match="larger than"):
        unpack(tmp_path, Counted(member.tobuf(tarfile.GNU_FORMAT) + header("long", tarfile.XHDTYPE, GIB)), bytes_max=10_000_000)


def test_a_sparse_map_without_an_end_is_not_read_into_memory(tmp_path: Path) -> None:
    start = pax(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_name="s", GNU_sparse_realsize="1")
    with pytest.raises(ImageUnsafe, match="larger than"):
        unpack(tmp_path, Counted(start[:-512] + header("file", tarfile.REGTYPE, GIB, b"999999999\n" + b"0\n" * 251)))


@pytest.mark.parametrize("broken", [pax(GNU_sparse_map="a,b"), pax(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_realsize="many")])
def test_headers_that_make_no_sense_are_refused(tmp_path: Path, broken: bytes) -> None:
    with pytest.raises(ImageUnsafe, match="cannot be read"):
        unpack(tmp_path, io.BytesIO(broken + b"\0" * 10_240))


def test_headers_of_headers_of_headers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageUnsafe, match="cannot be read"):
        unpack(tmp_path, io.BytesIO(header("again", tarfile.XHDTYPE, 0) * 2000 + b"\0" * 10_240))


def test_what_earlier_headers_said_is_forgotten(tmp_path: Path) -> None:
    """Each pair of a global header and a folder is allowed; together they would fill the memory."""
    one = header("all", tarfile.XGLTYPE, 500_009, b"500009 k000=" + b"v" * 499_996 + b"\n")
    root = tmp_path / "outside" / "root"
    root.mkdir(parents=True)
    tracemalloc.start()
    try:
        parts = (one.replace(b"k000", b"k%03d" % number) + header(f"d{number}", tarfile.DIRTYPE, 0) for number in range(60))
        Unpacking(root, 10_000, 100).layer(cast("BinaryIO", io.BufferedReader(Joined(parts))))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(everything(root)) == 60
    assert peak_bytes < 15_000_000


class Joined(io.RawIOBase):
    """Parts that are made when they are read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._parts, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


@pytest.mark.parametrize("entry", [file("n" * 5000), link("a", "n" * 5000), file("é" * 2100), file("/".join("d" * 202))])
def test_paths_longer_or_deeper_than_a_kernel_or_a_program_follows_are_refused(tmp_path: Path, entry: Entry) -> None:
    with pytest.raises(ImageUnsafe) as refused:
        unpack(tmp_path, layer(entry))
    assert len(str(refused.value)) < 1000


def test_long_names_and_attributes_of_honest_images_arrive(tmp_path: Path) -> None:
    name = "/".join(["d" * 100] * 5 + ["name"])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.pax_headers = {"SCHILY.xattr.user.note": "x" * 60_000}
        tar.addfile(member)
    buffer.seek(0)
    assert (unpack(tmp_path, buffer) / name).is_file()


NAMES = st.sampled_from(["a", "b", "c", "..", ".", "/", "a/b", "b/a", "../a", "a/..", "/etc", "a/b/c", ".wh.a", "a/.wh..wh..opq"])
MEMBERS = st.one_of(
    st.builds(file, NAMES),
    st.builds(folder, NAMES),
    st.builds(link, NAMES, NAMES),
    st.builds(cast("Callable[..., Entry]", link), NAMES, NAMES, st.just(tarfile.LNKTYPE)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(MEMBERS, max_size=6), max_size=3))
def test_no_layers_whatever_write_or_lead_outside(tmp_path_factory: pytest.TempPathFactory, layers: list[list[Entry]]) -> None:
    base = tmp_path_factory.mktemp("layers")
    root = base / "outside" / "root"
    with contextlib.suppress(ImageUnsafe):  # refusing is always an answer
        unpack(base, *(layer(*entries) for entries in layers))
    assert {path.name for path in base.iterdir()} == {"outside"}
    assert {path.name for path in (base / "outside").iterdir()} == {"root"}
    for path in root.rglob("*"):
        if path.is_symlink() and "loop" not in _resolved(path):
            assert _resolved(path).startswith(str(root))


def _resolved(path: Path) -> str:
    try:
        return str(path.resolve(strict=False))
    except (RuntimeError, OSError):
        return "loop"


# ---------------------------------------------------------------- paths inside


def test_paths_inside_a_root_never_leave_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("/usr/bin")
    (root / "up").symlink_to("../../..")
    assert inside(root, "/bin/sh") == root / "usr/bin/sh"
    assert inside(root, "up/etc") == root / "etc"
    assert inside(root, "/../../etc") == root / "etc"
    assert inside(root, "bin/../x") == root / "usr/x"
    (root / "loop").symlink_to("loop")
    with pytest.raises(LinkLoop):
        inside(root, "loop/x")


# ---------------------------------------------------------------- bytes


def test_a_layer_that_is_not_the_configs_is_refused() -> None:
    stream = HashedStream(io.BytesIO(b"content"), 100)
    with pytest.raises(DigestMismatch):
        stream.require(Digest.of(b"other"))
    HashedStream(io.BytesIO(b"content"), 100).require(Digest.of(b"content"))


def test_a_compressed_bomb_is_refused() -> None:
    stream = HashedStream(decompressed(io.BytesIO(gzip.compress(b"\0" * 1_000_000))), 10_000)
    with pytest.raises(ImageUnsafe):
        stream.require(Digest.of(b""))


def test_zstd_is_named_and_not_guessed() -> None:
    with pytest.raises(ImageUnsafe, match="zstd"):
        decompressed(io.BytesIO(b"\x28\xb5\x2f\xfd rest"))
