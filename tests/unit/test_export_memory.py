"""Verifying and reading an export takes the memory of one chunk, however many there are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.exports.errors import MemberMissing
from stella_pipelines.evidence.exports.source import ExportedPackets
from stella_pipelines.evidence.exports.verifying import verify_export
from stella_pipelines.evidence.frames.decisions import decisions
from stella_pipelines.store.database import Store
from tests.support.exports import KEY, REPORT, ExportingInstallation


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    monkeypatch.setattr("stella_pipelines.evidence.exports.pouring.ENTRIES_MAX", 20)
    store = Store.open(f"sqlite:///{tmp_path / 'stella.db'}")
    installation = ExportingInstallation(store)

    def export(packets: int) -> Path:
        installation.decide("prod", packets, days=0.01)
        installation.export(tmp_path / f"{packets}.zip", artifacts=True)
        return tmp_path / f"{packets}.zip"

    return export


def peak(work: Callable[[], object]) -> int:
    work()  # whatever is loaded once
    tracemalloc.start()
    work()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_ten_times_the_packets_take_the_same_memory(exported: Callable[[int], Path]) -> None:
    short, long = exported(60), exported(600)
    few, many = (peak(lambda path=path: verify_export(path, KEY)) for path in (short, long))  # type: ignore[misc]  # bound now
    assert many < 2 * few + 500_000  # of each member the manifest has a line


def test_an_export_is_a_source_of_frames(exported: Callable[[int], Path]) -> None:
    packets = ExportedPackets(exported(50), KEY)
    frame = decisions(packets)
    assert list(frame["sequence"]) == list(range(1, 51))
    assert packets.report.counts.packets == 50
    assert packets.blob(Digest.of(REPORT)) == REPORT
    with pytest.raises(MemberMissing):
        packets.blob(Digest.of(b"nothing"))
