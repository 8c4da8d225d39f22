"""Unpacking images whose layers want out: every trick is refused, and what is honest arrives."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

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
