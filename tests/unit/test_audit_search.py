"""Looking for entries: by each word and by several, a page at a time, and never by half a subject."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audit_search import Asked, page
from stella_pipelines.evidence.errors import AuditEntryMissing
from stella_pipelines.store.database import Store
from tests.support.databases import Databases
from tests.support.statements import recorded

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
WRITTEN: tuple[dict[str, Any], ...] = (
    {"actor": "alice", "action": "release.create", "subject": "release/shop-1"},
    {"actor": "bob", "action": "release.report", "subject": "release/shop-1/report/rpt_1"},
    {"actor": "bob", "action": "release.create", "subject": "release/shop-10"},
    {"actor": "alice", "action": "promotion.Request", "subject": "prm_1", "environment": "prod", "request_id": "req_1"},
    {"actor": "carol", "action": "releases.other", "subject": "release_shop-1/x", "environment": "dev", "request_id": "req_2"},
)


@pytest.fixture
def written(store: Store) -> Store:
    with store.writing() as tx:
        for number, entry in enumerate(WRITTEN, start=1):
            actor = Actor(name=entry["actor"], via="cli")
            audit.record(tx, entry_id=f"aud_{number}", at=NOW + timedelta(hours=number), **{**entry, "actor": actor})
    return store


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"subject": "release/shop-1"}, [2, 1]),
        ({"subject": "release"}, [3, 2, 1]),
        ({"subject": "release/shop-1/report/rpt_1"}, [2]),
        ({"subject": "release/shop"}, []),
        ({"subject": "release%"}, []),
        ({"subject": "release_shop-1"}, [5]),
        ({"subject": ""}, []),
        ({"actor": "bob"}, [3, 2]),
        ({"action": "release.create"}, [3, 1]),
        ({"action": "release."}, [3, 2, 1]),
        ({"action": "release"}, []),
        ({"environment": "prod"}, [4]),
        ({"request": "req_2"}, [5]),
        ({"since": NOW + timedelta(hours=4)}, [5, 4]),
        ({"until": NOW + timedelta(hours=2)}, [1]),
        ({"since": NOW + timedelta(hours=2), "until": NOW + timedelta(hours=4)}, [3, 2]),
        ({"actor": "bob", "action": "release.", "subject": "release/shop-10"}, [3]),
        ({"actor": "nobody"}, []),
    ],
)
def test_what_is_asked_for_is_found_newest_first(written: Store, asked: dict[str, Any], found: list[int]) -> None:
    with written.reading() as tx:
        assert [entry.id for entry in page(tx, Asked(**asked))[0]] == [f"aud_{number}" for number in found]


def test_pages_follow_each_other(written: Store) -> None:
    with written.reading() as tx:
        first, older = page(tx, Asked(subject="release"), limit=2)
        assert ([entry.id for entry in first], older) == (["aud_3", "aud_2"], 1)
        assert [entry.id for entry in page(tx, Asked(subject="release"), limit=2, before="aud_2")[0]] == ["aud_1"]
        with pytest.raises(AuditEntryMissing):
            page(tx, Asked(), before="aud_9")


def test_a_subject_and_what_belongs_to_it_are_found_by_the_index(written: Store, database_kind: str) -> None:
    with written.reading() as tx, recorded() as statements:
        page(tx, Asked(subject="release/shop-1"))
    with written.reading() as tx:
        if database_kind == "sqlite":
            plan = " ".join(statements[0].plan(tx.connection))
            assert plan.count("ix_audit_entries_subject") == 2
            return
        tx.connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        tx.connection.exec_driver_sql("SET LOCAL enable_indexscan = off")
        rows = tx.connection.exec_driver_sql(f"EXPLAIN {statements[0].text}", statements[0].parameters).scalars()
        assert " ".join(rows).count("Bitmap Index Scan on ix_audit_entries_subject") == 2


@pytest.mark.postgres
def test_the_index_on_subjects_finds_beginnings_whatever_the_databases_language_is(databases: Databases) -> None:
    with databases.fresh("postgres") as url:
        store = Store.open(url)
        with store.reading() as tx:
            defined = tx.connection.execute(sa.text("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_audit_entries_subject'")).scalar()
        store.close()
    assert "subject text_pattern_ops" in str(defined)
