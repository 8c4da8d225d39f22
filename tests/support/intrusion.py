"""What somebody with a database shell can do: switch off the guards that make evidence append-only, change rows, and switch them on again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from stella_pipelines.store.database import Transaction

TABLES = ("evidence_packets", "evidence_subjects")


@contextmanager
def without_guards(tx: Transaction, tables: Sequence[str] = TABLES) -> Iterator[None]:
    """The guards of these tables are off inside."""
    sqlite = tx.connection.dialect.name == "sqlite"
    put_back = _drop_on_sqlite(tx, tables) if sqlite else [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables]
    if not sqlite:
        for table in tables:
            tx.connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for statement in put_back:
        tx.connection.exec_driver_sql(statement)


def _drop_on_sqlite(tx: Transaction, tables: Sequence[str]) -> list[str]:
    """The statements that make the dropped triggers again."""
    found = tx.connection.exec_driver_sql("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    triggers = [(name, sql) for name, table, sql in found if table in tables]
    for name, _ in triggers:
        tx.connection.exec_driver_sql(f"DROP TRIGGER {name}")
    return [sql for _, sql in triggers]
