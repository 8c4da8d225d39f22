"""Which statements some work sends to the database, whatever opened the connection; and how SQLite would find the rows of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class Statement:
    """One statement as the driver got it."""

    text: str
    parameters: Any

    def plan(self, connection: sa.Connection) -> list[str]:
        """SQLite's way to the rows, a line for each step."""
        return [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {self.text}", self.parameters)]


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """The statements of the block, in their order; what a connection says about itself (settings, transactions) is left out."""
    found: list[Statement] = []

    def note(_connection: Any, _cursor: Any, text: str, parameters: Any, _context: Any, _many: bool) -> None:
        if text.split(None, 1)[0].upper() in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE"):
            found.append(Statement(text, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
