"""Many rows into a database at once: COPY on PostgreSQL, one prepared insert on SQLite. Rows wait in memory until a batch is full."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

BATCH_BYTES: Final = 32 * 1024 * 1024
BATCH_ROWS: Final = 50_000


class Bulk:
    """Rows for some tables. They are written in the order in which the tables are named, so that what is referred to is there first."""

    def __init__(self, connection: sa.Connection, tables: Sequence[sa.Table]) -> None:
        self._connection = connection
        self._tables = tables
        self._rows: dict[str, list[Mapping[str, Any]]] = {table.name: [] for table in tables}
        self._bytes = self._count = 0
        self.written: dict[str, int] = {table.name: 0 for table in tables}

    def add(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        """One row, with every column that has no default."""
        self._rows[table.name].append(row)
        self._count += 1
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, str | bytes))

    def flush(self, *, full_only: bool = False) -> None:
        """Write what waits; with `full_only` not before a batch is full."""
        if full_only and self._bytes < BATCH_BYTES and self._count < BATCH_ROWS:
            return
        for table in self._tables:
            rows = self._rows[table.name]
            if rows:
                self._write(table, rows)
                self.written[table.name] += len(rows)
                rows.clear()
        self._bytes = self._count = 0

    def _write(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._connection.dialect.name == "sqlite":
            self._connection.execute(sa.insert(table), rows)
            return
        columns = list(rows[0])
        text = "".join("\t".join([_copied(row[name]) for name in columns]) + "\n" for row in rows)
        quoted = ", ".join(f'"{name}"' for name in columns)
        with self._connection.connection.cursor() as cursor:
            cursor.copy_expert(f'COPY "{table.name}" ({quoted}) FROM STDIN', io.StringIO(text))  # type: ignore[attr-defined]  # psycopg2's own


def _copied(value: Any) -> str:
    """A value in COPY's text form."""
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, bool):
        return "t" if value else "f"
    text = str(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r") if "\\" in text or not text.isprintable() else text
