"""No byte of an export is free: whichever is changed, cut out or put in, the file is refused, and with one of the documented errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stella_pipelines.evidence.exports.errors import ExportRefused
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.verifying import verify_export
from stella_pipelines.store.database import Store
from tests.support.exports import KEY, ExportingInstallation, moment


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("export")
    store = Store.open(f"sqlite:///{folder / 'stella.db'}")
    installation = ExportingInstallation(store)
    installation.decide("prod", 3)
    installation.export(folder / "a.zip", Question(environment="prod", since=moment(1.5)), artifacts=True)
    store.close()
    return (folder / "a.zip").read_bytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed") / "a.zip"


def refused(place: Path, content: bytes) -> bool:
    place.write_bytes(content)
    try:
        verify_export(place, KEY)
    except ExportRefused:
        return True
    return False


def test_the_genuine_one_is_taken(genuine: bytes, place: Path) -> None:
    assert not refused(place, genuine)


@pytest.mark.parametrize("part", range(8))
def test_every_byte_counts(genuine: bytes, place: Path, part: int) -> None:
    free = [at for at in range(part, len(genuine), 8) if not refused(place, genuine[:at] + bytes([genuine[at] ^ 1 << at % 7]) + genuine[at + 1 :])]
    assert free == []


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_nothing_is_cut_out_put_in_or_moved(genuine: bytes, place: Path, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(genuine) - 1))
    stop = data.draw(st.integers(start, min(start + 500, len(genuine))))
    put = data.draw(st.binary(max_size=50))
    changed = genuine[:start] + put + genuine[stop:]
    assert changed == genuine or refused(place, changed)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2_000))
def test_whatever_is_given_is_refused_with_an_error_of_ours(place: Path, content: bytes) -> None:
    assert refused(place, content)
    assert refused(place, b"PK\x03\x04" + content + b"PK\x05\x06" + b"\0" * 18)
