"""Every write has its audit entry: all tables are compared before and after each transaction of everything that the product does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.core.actor import SYSTEM
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.evidence.every_table import AUDITED, EVERY_TABLE
from stella_pipelines.releases.tables import releases as releases_table
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.migration import VERSION_TABLE
from stella_pipelines.store.tables import outbox
from tests.support.audited_story import PARTS
from tests.support.databases import Databases
from tests.support.every_metadata import EVERY_METADATA
from tests.support.watched_store import watching

PAGE = Path(__file__).parents[2] / "docs" / "audit-trail.md"
NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
ELSEWHERE = {"deployment.refused", "deployment.resumption_wanted", "gate.error", "key.revoke"}
ELSEWHERE |= {"evidence.purge", "hold.lift", "hold.place", "log.cosigned"}
"""Not in the story, but in the tests of the rooms that write them."""
DRAFT = {"name": "shop", "version": "1", "state": "draft", "document": "{}", "digest": None, "created_at": "x", "finalized_at": None, "revision": 1}


def test_every_table_is_classified_and_every_class_is_of_a_table(store: Store) -> None:
    with store.reading() as tx:
        in_the_database = set(sa.inspect(tx.connection).get_table_names()) - {VERSION_TABLE}
    assert set(EVERY_TABLE) == in_the_database
    assert in_the_database == set(EVERY_METADATA.tables), "the watch reads the tables that the code knows"


def test_everything_that_is_written_is_entered_with_the_hashes_that_the_rows_had(databases: Databases, database_kind: str) -> None:
    with watching() as watch:
        for part in PARTS.values():
            with databases.fresh(database_kind) as url:
                store = Store.open(url)
                part(store)
                store.close()
    assert watch.problems == []
    assert watch.tables >= set(AUDITED), "the story must change every audited table"
    assert actions_on_the_page() - ELSEWHERE == watch.actions, "the page names what is done, and nothing else"


def actions_on_the_page() -> set[str]:
    """The first column of the page's table of actions."""
    table = PAGE.read_text().partition("| actions | |\n| --- | --- |\n")[2].partition("\n\n")[0]
    return {action for row in table.splitlines() for action in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


# ---------------------------------------------------------------- the watch can fail


def enter(tx: Transaction, subject: str, before: Digest | None, after: Digest | None) -> None:
    audit.record(tx, entry_id=SystemIdentifiers().new("aud", NOW), at=NOW, actor=SYSTEM, action="release.create", subject=subject, before=before, after=after)


def without_an_entry(tx: Transaction) -> None:
    tx.connection.execute(sa.insert(releases_table).values(DRAFT))


def with_a_wrong_after(tx: Transaction) -> None:
    without_an_entry(tx)
    enter(tx, "release/shop-1", None, Digest.of(b"another"))


def with_a_wrong_before(tx: Transaction) -> None:
    without_an_entry(tx)
    enter(tx, "release/shop-1", Digest.of(b"another"), row_digest(DRAFT))


def with_an_entry_for_another(tx: Transaction) -> None:
    without_an_entry(tx)
    enter(tx, "release/shop-2", None, row_digest(DRAFT))


def with_a_second_change_that_is_not_entered(tx: Transaction) -> None:
    without_an_entry(tx)
    enter(tx, "release/shop-1", None, row_digest(DRAFT))
    tx.connection.execute(sa.update(releases_table).values(revision=2))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (without_an_entry, "was changed without an audit entry"),
        (with_a_wrong_after, "another hash after than the row has"),
        (with_a_wrong_before, "another hash before than the row had"),
        (with_an_entry_for_another, "was changed without an audit entry"),
        (with_a_second_change_that_is_not_entered, "another hash after than the row has"),
    ],
)
def test_a_write_that_is_not_entered_or_not_truly_is_found(store: Store, write: Callable[[Transaction], None], said: str) -> None:
    with watching() as watch, store.writing() as tx:
        write(tx)
    (problem,) = watch.problems
    assert said in problem
    assert "releases ('shop', '1')" in problem


def test_an_entry_of_a_change_that_did_not_happen_is_found(store: Store) -> None:
    with store.writing() as tx:
        without_an_entry(tx)
    with watching() as watch, store.writing() as tx:
        enter(tx, "release/shop-1", row_digest(DRAFT), Digest.of(b"another"))
    assert watch.problems == ["release/shop-1 did not change, but the entry release.create says so"]


def test_a_table_that_is_not_classified_is_found(store: Store) -> None:
    known = {name: kind for name, kind in EVERY_TABLE.items() if name != "outbox"}
    with watching(known) as watch, store.writing() as tx:
        row = {"id": "out_1", "kind": "promotion", "subject": "prm_1", "attempt": 1, "payload": "{}", "state": "pending", "created_at": "x", "updated_at": "x"}
        tx.connection.execute(sa.insert(outbox).values(row))
    assert watch.problems == ["outbox is not classified"]


def test_what_is_rolled_back_needs_no_entry(store: Store) -> None:
    with watching() as watch, pytest.raises(RuntimeError, match="no"), store.writing() as tx:
        without_an_entry(tx)
        raise RuntimeError("no")
    assert watch.problems == []


# ---------------------------------------------------------------- subjects


@pytest.mark.parametrize("table", sorted(AUDITED))
def test_a_subject_names_the_columns_of_its_row_again(table: str) -> None:
    row = {"name": "shop_2", "version": "1.0-rc.1+b", "revision": "7", "id": "prm_01", "promotion_id": "prm_01", "attempt": "3", "gate": "sign_off"}
    row |= {"number": "2", "location": "registry.test:5000/shop/releases@sha256:00", "digest": "sha256:0a"}
    kind = AUDITED[table]
    row["id"] = f"{kind.ids or 'rpt_'}01"
    subject = kind.subject_of(row)
    assert kind.fields_of(subject) == {name: row[name] for name in kind.fields}
    assert [name for name, other in AUDITED.items() if other.fields_of(subject) is not None] == [table], "a subject is of one table only"
