"""`stella audit check`: everything that the product writes agrees with its trail; a row that somebody edited, added or removed is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.core.actor import SYSTEM
from stella_pipelines.core.clock import SystemClock
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.evidence import agreement, audit
from stella_pipelines.evidence.agreement import audited_rows, stored_rows_agree
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.evidence.every_table import AUDITED
from stella_pipelines.store.database import Store, Transaction
from tests.support.audited_story import PARTS
from tests.support.databases import Databases, selected_kinds
from tests.support.every_metadata import EVERY_METADATA

Told = dict[tuple[str, str], str]
"""By kind of database and part of the story, or table that has rows in it, the URL of a database."""


@pytest.fixture(scope="module")
def told(databases: Databases) -> Iterator[Told]:
    """Databases in which a part of the story has happened; tests change them only in transactions that are rolled back."""
    made: Told = {}
    open_ones = []
    for kind in selected_kinds():
        for name, part in PARTS.items():
            database = databases.fresh(kind)
            open_ones.append(database)
            made[kind, name] = database.__enter__()
            store = Store.open(made[kind, name])
            part(store)
            with store.reading() as tx:
                for table in AUDITED:
                    if tx.connection.execute(sa.select(EVERY_METADATA.tables[table]).limit(1)).first() is not None:
                        made.setdefault((kind, table), made[kind, name])
            store.close()
    yield made
    for database in open_ones:
        database.__exit__(None, None, None)


class _Undone(Exception):
    """Thrown to roll a test's tampering back."""


def found_after(url: str, *tampering: str) -> list[tuple[str, str, str]]:
    """What disagrees after these statements."""
    store = Store.open(url)
    found: list[tuple[str, str, str]] = []
    with pytest.raises(_Undone), store.writing() as tx:
        _lift_guards(tx)
        for statement in tampering:
            assert tx.connection.execute(sa.text(statement)).rowcount != 0, statement
        found = [(problem.table, problem.subject, problem.what) for problem in stored_rows_agree(tx)]
        raise _Undone
    store.close()
    return found


def _lift_guards(tx: Transaction) -> None:
    """Whoever tampers is an administrator of the database."""
    if tx.connection.dialect.name == "postgresql":
        tx.connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        return
    tx.connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    for name in tx.connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
        tx.connection.exec_driver_sql(f"DROP TRIGGER {name}")


@pytest.mark.parametrize("part", PARTS)
def test_what_the_product_writes_agrees_with_its_trail(told: Told, database_kind: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "PAGE_ROWS", 3)  # so that a few rows are several pages
    store, said = Store.open(told[database_kind, part]), []
    with store.reading() as tx:
        assert list(stored_rows_agree(tx, said.append)) == []
        assert said[-1] == audited_rows(tx) > 0
    store.close()


EVERY_COLUMN = [(table, column.name) for table in sorted(AUDITED) for column in EVERY_METADATA.tables[table].columns]


@pytest.mark.parametrize(("table", "column"), EVERY_COLUMN, ids=[".".join(pair) for pair in EVERY_COLUMN])
def test_an_edit_of_any_column_of_any_audited_table_is_named(told: Told, database_kind: str, table: str, column: str) -> None:
    kind = EVERY_METADATA.tables[table].c[column].type
    number, flag = isinstance(kind, sa.Integer), isinstance(kind, sa.Boolean)
    edited = f"{column} + 100" if number else f"NOT {column}" if flag else f"coalesce({column}, '') || 'x'"
    key = " AND ".join(f"{name.name} = (SELECT max({name.name}) FROM {table})" for name in list(EVERY_METADATA.tables[table].primary_key.columns)[:1])
    assert (database_kind, table) in told, "the story must write a row of every audited table"
    url = told[database_kind, table]
    found = found_after(url, f"UPDATE {table} SET {column} = {_allowed(table, column, edited)} WHERE {key}")
    assert [one for one in found if one[0] == table], found


def _allowed(table: str, column: str, edited: str) -> str:
    """Another value that the table's own constraints accept."""
    return {
        ("deployments", "state"): "CASE state WHEN 'succeeded' THEN 'failed' ELSE 'succeeded' END",
        ("deployments", "kind"): "CASE kind WHEN 'retry' THEN 'rollback' ELSE 'retry' END",
        ("releases", "state"): "CASE state WHEN 'archived' THEN 'finalized' ELSE 'archived' END",
        ("releases", "digest"): "digest || 'x'",
    }.get((table, column), edited)


def test_a_row_that_was_added_past_the_trail_is_named(told: Told, database_kind: str) -> None:
    columns = "promotion_id, actor, at, document"
    copied = f"INSERT INTO approvals (id, number, {columns}) SELECT 'apr_x', 99, {columns} FROM approvals LIMIT 1"
    (problem,) = found_after(told[database_kind, "promotions"], copied)
    assert problem[0] == "approvals"
    assert problem[1].endswith("/approval/99")
    assert problem[2] == "the row has no audit entry"


@pytest.mark.parametrize("table", ["approvals", "gate_results", "release_reports", "estate_revisions"])
def test_a_row_that_was_removed_past_the_trail_is_named(told: Told, database_kind: str, table: str) -> None:
    found = found_after(told[database_kind, table], f"DELETE FROM {table}")
    assert found
    assert {one[0] for one in found} == {table}
    assert {one[2] for one in found} == {"the row is gone, and no audit entry says so"}


def test_a_row_that_was_edited_and_then_moved_on_by_the_product_is_named(store: Store) -> None:
    """The newest entry agrees with the row again; the chain of entries does not."""
    row = {"name": "shop", "version": "1", "state": "draft", "document": "{}", "digest": None, "created_at": "x", "finalized_at": None, "revision": 1}

    def enter(tx: Transaction, before: dict[str, object] | None, after: dict[str, object] | None) -> None:
        now = SystemClock().now()
        audit.record(
            tx,
            entry_id=SystemIdentifiers().new("aud", now),
            at=now,
            actor=SYSTEM,
            action="release.create",
            subject="release/shop-1",
            before=row_digest(before) if before else None,
            after=row_digest(after) if after else None,
        )

    last = {**row, "document": '{"edited":true}', "revision": 2}
    with store.writing() as tx:
        tx.connection.execute(sa.insert(EVERY_METADATA.tables["releases"]).values(last))
        enter(tx, None, row)
        enter(tx, {**row, "document": '{"edited":true}'}, last)
        (problem,) = stored_rows_agree(tx)
        assert (problem.table, problem.subject) == ("releases", "release/shop-1")
        assert "was changed without one" in problem.what
        enter(tx, last, None)
        assert "says that it was removed" in next(stored_rows_agree(tx)).what


def test_the_command_names_what_does_not_agree_and_fails(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STELLA_DATABASE_URL", database_url)
    PARTS["promotions"](store)
    assert run(["audit", "check"]) is Exit.DONE
    assert "rows are as their newest audit entries say" in capsys.readouterr().out
    with store.writing() as tx:
        tx.connection.execute(sa.text("UPDATE promotions SET state = 'deployed' WHERE state = 'cancelled'"))
    assert run(["--json", "audit", "check"]) is Exit.FAILED
    said = json.loads(capsys.readouterr().out)
    assert said["problem_count"] == 1
    assert said["problems"][0]["table"] == "promotions"
    assert run(["audit", "check"]) is Exit.FAILED
    assert "was changed after its newest audit entry" in " ".join(capsys.readouterr().out.split())
