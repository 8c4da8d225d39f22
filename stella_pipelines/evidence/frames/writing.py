"""Frames as files: CSV for spreadsheets and Parquet for programs.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab, a return or a full-width form of these for a formula, and a reason for a
promotion is a stranger's text. In a CSV such a text gets an apostrophe before it, which makes it a text for a spreadsheet. So does what follows a
semicolon, a tab or a line break within a text: a spreadsheet that separates cells by these would begin a cell there. Parquet has every text as it is.
"""

from __future__ import annotations

import csv
import re
from typing import IO, Final

import pandas as pd

from stella_pipelines.evidence.frames.errors import ParquetUnavailable

_BLANK: Final = r"[ \u00a0\ufeff\"]*"
_BEGINS: Final = re.compile(rf"\A(?={_BLANK}[=+\-@\t\r\n\0|%＝＋－＠])|(?<=[;\t\r\n])(?={_BLANK}[=+\-@\0|%＝＋－＠])")
"""Where a formula may begin: at the beginning of a cell, or of what some spreadsheet takes for one. `|` and `%` begin one in older programs."""
_ROWS_A_PIECE: Final = 10_000


def write_csv(frame: pd.DataFrame, file: IO[str]) -> None:
    """RFC 4180 with a line of names; times in RFC 3339, an unknown cell is empty. Open `file` in UTF-8 with `newline=""`."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(frame.columns)
    for start in range(0, len(frame), _ROWS_A_PIECE):
        piece = frame.iloc[start : start + _ROWS_A_PIECE]
        writer.writerows(zip(*(_plain(piece[name]) for name in piece.columns), strict=True))


def write_parquet(frame: pd.DataFrame, file: IO[bytes]) -> None:
    """One Parquet file with the frame's own types; times in nanoseconds of UTC."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ParquetUnavailable(
            "Parquet files are written with pyarrow, which is not installed.",
            next_step="Install it with 'pip install stella-pipelines[analysis]', or take CSV.",
        ) from error
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), file, compression="zstd")


def harmless(cell: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return _BEGINS.sub("'", cell)


def _plain(cells: pd.Series) -> list[object]:
    """A column as it is written: texts, numbers, or None."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        return [None if pd.isna(cell) else cell.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for cell in cells]
    if isinstance(cells.dtype, pd.BooleanDtype):
        return [None if pd.isna(cell) else str(cell).lower() for cell in cells]
    return [None if pd.isna(cell) else harmless(cell) if isinstance(cell, str) else cell for cell in cells]
