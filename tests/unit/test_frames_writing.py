"""Frames as files: no cell is a formula in a spreadsheet, and Parquet gives back what was written."""

from __future__ import annotations

import builtins
import csv
import io
from typing import Any

import pandas as pd
import pytest

from stella_pipelines.evidence.frames.columns import Cell, Column, ColumnKind, Table, empty
from stella_pipelines.evidence.frames.decisions import DECISIONS
from stella_pipelines.evidence.frames.errors import ParquetUnavailable
from stella_pipelines.evidence.frames.writing import harmless, write_csv, write_parquet
from tests.support.evidence import NOW

_KINDS: tuple[ColumnKind, ...] = ("text", "category", "count", "number", "flag", "time")
COLUMNS = tuple(Column(kind, kind, "") for kind in _KINDS)
ROWS: list[dict[str, Cell]] = [
    {"text": "=1+1", "category": "@sum", "count": 2**62, "number": -1.5, "flag": True, "time": NOW},
    {"text": 'a "word", and\r\nmore', "category": "plain", "count": -3, "number": 1e300, "flag": False, "time": None},
    {"text": None, "category": None, "count": None, "number": None, "flag": None, "time": None},
]


def frame() -> pd.DataFrame:
    table = Table(COLUMNS)
    for row in ROWS:
        table.add(row)
    return table.frame()


def as_csv(made: pd.DataFrame) -> str:
    file = io.StringIO(newline="")
    write_csv(made, file)
    return file.getvalue()


def test_a_csv_has_plain_cells() -> None:
    head, first, second, last = csv.reader(io.StringIO(as_csv(frame()), newline=""))
    assert head == list(_KINDS)
    assert first == ["'=1+1", "'@sum", str(2**62), "-1.5", "true", "2026-01-31T09:00:00.000000Z"]
    assert second == ['a "word", and\r\nmore', "plain", "-3", "1e+300", "false", ""]
    assert last == [""] * 6


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "\0", "|", "%", "＝", "＋", "－", "＠"])
@pytest.mark.parametrize("before", ["", " ", "\u00a0", "\ufeff", '"'])
@pytest.mark.parametrize("around", ["{}", "weekly;{}", "weekly\n{}", "weekly\t{}", "a;b;{}"])
def test_no_cell_begins_a_formula(begin: str, before: str, around: str) -> None:
    written = harmless(around.format(f"{before}{begin}cmd|' /C calc'!A1"))
    assert around != "{}" or written.startswith("'")
    for cell in written.replace("\r", ";").replace("\n", ";").replace("\t", ";").split(";"):
        assert not cell.lstrip(' \u00a0\ufeff"').startswith(tuple("=+-@\0|%＝＋－＠")), cell


@pytest.mark.parametrize("plain", ["", "weekly release", "a-b", "1+1", "ann@example.com", "sha256:00", "it's", "100 %"])
def test_other_texts_stay_as_they_are(plain: str) -> None:
    assert harmless(plain) == plain


def test_parquet_gives_back_what_was_written() -> None:
    for made in (frame(), empty(DECISIONS)):
        file = io.BytesIO()
        write_parquet(made, file)
        found = pd.read_parquet(io.BytesIO(file.getvalue()))
        assert [str(dtype) for dtype in found.dtypes] == [str(dtype) for dtype in made.dtypes]
        pd.testing.assert_frame_equal(found.astype("string"), made.astype("string"))


def test_without_the_library_parquet_is_refused_and_csv_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ParquetUnavailable, match=r"pyarrow"):
        write_parquet(frame(), io.BytesIO())
    assert as_csv(frame()).count("\r\n") == 5


def test_a_large_frame_is_written_piece_by_piece() -> None:
    large = pd.concat([frame()] * 7_000, ignore_index=True)
    rows = list(csv.reader(io.StringIO(as_csv(large), newline="")))
    assert len(rows) == 21_001
    assert rows[1] == rows[4] == rows[20_998]
