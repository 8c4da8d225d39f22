"""Hostile files are refused in bounded time and memory."""

from __future__ import annotations

import os
import resource
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from stella_pipelines.evidence.exports import errors
from stella_pipelines.evidence.exports.container import STORED
from stella_pipelines.evidence.exports.verifying import verify_export
from tests.support.exports import KEY, Members, members_of, prod_export, raw_zip, refusal, repacked


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prod_export(tmp_path_factory.mktemp("genuine"))


@pytest.fixture
def members(genuine: Path) -> Members:
    return members_of(genuine)


def bounded(work: Callable[[], object], *, seconds: float, megabytes: float) -> None:
    """The work needs little processor time and little memory."""
    tracemalloc.start()
    began = time.process_time()
    try:
        work()
        spent, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert spent < seconds, f"{spent:.1f} s"
    assert peak < megabytes * 1e6, f"{peak / 1e6:.0f} MB"


def test_a_gigabyte_of_zeros_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "zeros.zip"
    with path.open("wb") as file:
        file.truncate(2**30)
    bounded(lambda: refusal(path) is errors.ExportTruncated, seconds=1, megabytes=5)
    assert refusal(path) is errors.ExportTruncated


def test_a_gigabyte_of_zeros_in_front_of_a_right_end_is_refused_at_once(genuine: Path, tmp_path: Path) -> None:
    path = tmp_path / "zeros.zip"
    end = genuine.read_bytes()[-22:]
    with path.open("wb") as file:
        file.truncate(2**30)
        file.seek(0, os.SEEK_END)
        file.write(end)
    bounded(lambda: refusal(path), seconds=1, megabytes=5)
    assert refusal(path) is errors.ExportTruncated


def test_a_bomb_is_not_unpacked_beyond_what_it_says(members: Members, tmp_path: Path) -> None:
    bomb = b"\0" * (64 * 1024 * 1024)
    honest = repacked(tmp_path / "a.zip", {**members, "pages/000002.html": bomb})  # by somebody with the key: it is large, and that is all
    bounded(lambda: verify_export(honest, KEY), seconds=20, megabytes=200)
    content = honest.read_bytes()
    for size in (100, 2**32 - 1):
        lying = tmp_path / f"{size}.zip"
        lying.write_bytes(content.replace(len(bomb).to_bytes(4, "little"), size.to_bytes(4, "little")))
        bounded(lambda path=lying: refusal(path), seconds=5, megabytes=20)  # type: ignore[misc]  # bound now
        assert refusal(lying) in (errors.MemberChanged, errors.ExportTooLarge)


def test_a_directory_of_very_many_members_is_refused(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a.zip", [(f"m{number}", b"", STORED) for number in range(70_000)])
    bounded(lambda: refusal(path), seconds=20, megabytes=120)
    assert refusal(path) is errors.MemberMissing


def test_the_process_did_not_grow_beyond_bounds() -> None:
    """All of the above in one process; most of it is Python and the libraries."""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_000_000  # kilobytes
