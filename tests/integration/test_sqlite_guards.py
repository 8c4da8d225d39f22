"""SQLite knows no roles: triggers keep evidence, audit and log as they are, against every statement that could change or replace a row."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from stella_pipelines.evidence.every_table import EVERY_TABLE
from stella_pipelines.store.database import Store, Transaction
from tests.support.audited_story import PARTS
from tests.support.databases import Databases
from tests.support.every_metadata import EVERY_METADATA

EVIDENCE = sorted(name for name in EVERY_TABLE if name.startswith(("evidence_", "audit_", "log_")))
APPEND_ONLY = [*EVIDENCE, "deployment_journal", "estate_revisions"]
MADE_UP = {sa.Text: "x", sa.LargeBinary: b"x"}


@pytest.fixture(scope="module")
def worked(databases: Databases) -> Iterator[Store]:
    """An installation that has done its work. Tests try things in transactions that are rolled back."""
    with databases.fresh("sqlite") as url:
        store = Store.open(url)
        PARTS["promotions"](store)
        yield store
        store.close()


def statements(table: str) -> dict[str, str]:
    """Every way to change a row of a table that has one."""
    column = next(iter(EVERY_METADATA.tables[table].columns)).name
    return {
        "UPDATE": f'UPDATE {table} SET "{column}" = "{column}"',
        "DELETE": f"DELETE FROM {table}",
        "INSERT OR REPLACE": f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1",
        "REPLACE": f"REPLACE INTO {table} SELECT * FROM {table} LIMIT 1",
        "UPSERT": f'INSERT INTO {table} SELECT * FROM {table} WHERE true LIMIT 1 ON CONFLICT DO UPDATE SET "{column}" = excluded."{column}"',
        "UPDATE OR REPLACE": f'UPDATE OR REPLACE {table} SET "{column}" = "{column}"',
    }


@pytest.mark.parametrize("how", list(statements("audit_entries")))
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_no_statement_changes_a_row(worked: Store, table: str, how: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match=r"append-only|is not changed|keeps what is not in the log|never|purge"), worked.writing() as tx:
        _have_a_row(tx, table)
        tx.connection.exec_driver_sql(statements(table)[how])


def _have_a_row(tx: Transaction, table: str) -> None:
    """A trigger for each row needs one; where the work left none, it is made up, past the guards of what comes in."""
    columns = EVERY_METADATA.tables[table]
    if tx.connection.execute(sa.select(sa.func.count()).select_from(columns)).scalar() == 0:
        guards = sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table AND sql LIKE '%BEFORE INSERT%'")
        for name in tx.connection.execute(guards, {"table": table}).scalars().all():
            tx.connection.exec_driver_sql(f"DROP TRIGGER {name}")
        tx.connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        tx.connection.execute(sa.insert(columns).values({column.name: MADE_UP.get(type(column.type), 1) for column in columns.columns}))


def test_every_connection_of_the_store_sees_a_replaced_row_leave(worked: Store) -> None:
    """Without this setting, INSERT OR REPLACE removes a row past the triggers."""
    for opened in (worked.writing, worked.reading):
        with opened() as tx:
            assert tx.connection.exec_driver_sql("PRAGMA recursive_triggers").scalar() == 1
