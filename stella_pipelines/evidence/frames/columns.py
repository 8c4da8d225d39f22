"""The columns of a frame: each with its type and its meaning. Rows are gathered column by column, and an empty frame has the same types as a full one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

ColumnKind = Literal["text", "category", "count", "number", "flag", "time"]
DTYPES: Final[Mapping[ColumnKind, str]] = {
    "text": "string",
    "category": "category",
    "count": "Int64",
    "number": "Float64",
    "flag": "boolean",
    "time": "datetime64[ns, UTC]",
}
"""Each can say that something is unknown (`<NA>`, `NaT`), which is never the same as zero, false or an empty text."""
Cell = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, what kind of values it has, and what they mean."""

    name: str
    kind: ColumnKind
    about: str


class Table:
    """Rows in the making."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._cells: dict[str, list[Any]] = {column.name: [] for column in columns}

    def add(self, row: Mapping[str, Cell]) -> None:
        """One row, with a cell for every column and no others."""
        if row.keys() != self._cells.keys():
            raise ValueError(f"a row needs exactly these cells: {', '.join(self._cells)}")
        for name, cells in self._cells.items():
            cells.append(row[name])

    def frame(self, order: Sequence[str] = ()) -> pd.DataFrame:
        """The rows as a frame, sorted by these columns; unknown ones first. Rows that agree in them keep their order."""
        made = pd.DataFrame({column.name: _array(column.kind, self._cells[column.name]) for column in self._columns})
        return made.sort_values(list(order), kind="stable", na_position="first", ignore_index=True) if order else made


def empty(columns: Sequence[Column]) -> pd.DataFrame:
    """A frame without rows."""
    return Table(columns).frame()


def _array(kind: ColumnKind, cells: list[Any]) -> Any:
    if kind == "time":
        return _times(cells)
    if kind == "category":
        return pd.Categorical(pd.array(cells, dtype="string"), categories=pd.array(_distinct(cells), dtype="string"))
    return pd.array(cells, dtype=DTYPES[kind])  # type: ignore[call-overload]  # the stubs know each name, and not their union


def _times(cells: Iterable[datetime | None]) -> pd.DatetimeIndex:
    naive = [np.datetime64("NaT") if cell is None else np.datetime64(cell.replace(tzinfo=None), "us") for cell in cells]
    return pd.DatetimeIndex(np.array(naive, dtype="datetime64[us]")).as_unit("ns").tz_localize("UTC")


def _distinct(cells: Iterable[str | None]) -> list[str]:
    """In the order of the alphabet, so that the order of the rows says nothing about the order of the categories."""
    return sorted({cell for cell in cells if cell is not None})
