"""`INSERT … ON CONFLICT`, which both databases have and SQLAlchemy offers once per dialect."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from stella_pipelines.store.database import Transaction


def insert(tx: Transaction, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An insert for this transaction's database that has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return insert_into(tx.connection.dialect.name, table)


def insert_into(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """The same for a database by its name, for a statement that is made once and run often."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
