"""The audit trail: entries come back as written, newest first, and cannot be changed or removed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from stella_pipelines.core.actor import SYSTEM, Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.tables import audit_entries
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import Conflict

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
ALICE = Actor(name="alice", via="cli")


def write_three(store: Store) -> None:
    with store.writing() as tx:
        audit.record(tx, entry_id="aud_1", at=NOW, actor=ALICE, action="estate.apply", subject="estate", before=None, after=Digest.of(b"1"), reason=None)
        audit.record(tx, entry_id="aud_2", at=NOW, actor=SYSTEM, action="promotion.deny", subject="prm_1", reason="frozen")
        audit.record(tx, entry_id="aud_3", at=NOW, actor=ALICE, action="promotion.cancel", subject="prm_1")


def test_an_entry_comes_back_as_it_was_written(store: Store) -> None:
    write_three(store)
    with store.reading() as tx:
        assert audit.list_entries(tx, subject="estate") == [
            audit.AuditEntry(
                id="aud_1",
                at=NOW,
                actor=ALICE,
                action="estate.apply",
                subject="estate",
                environment=None,
                before=None,
                after=Digest.of(b"1"),
                reason=None,
                request_id=None,
            )
        ]


def test_the_newest_come_first_in_the_order_of_writing(store: Store) -> None:
    write_three(store)
    with store.reading() as tx:
        assert [entry.id for entry in audit.list_entries(tx)] == ["aud_3", "aud_2", "aud_1"]
        assert [entry.id for entry in audit.list_entries(tx, limit=1)] == ["aud_3"]
        assert [entry.id for entry in audit.list_entries(tx, actor="alice", subject="prm_1")] == ["aud_3"]
        assert [entry.id for entry in audit.list_entries(tx, action="promotion.deny")] == ["aud_2"]
        assert audit.list_entries(tx, subject="nobody") == []


def test_an_entry_is_written_once(store: Store) -> None:
    write_three(store)
    with pytest.raises(Conflict):
        write_three(store)
    with store.reading() as tx:
        assert len(audit.list_entries(tx)) == 3


@pytest.mark.parametrize("statement", [sa.update(audit_entries).values(reason="nothing"), sa.delete(audit_entries)], ids=["update", "delete"])
def test_the_database_itself_refuses_changes(store: Store, statement: sa.Update | sa.Delete) -> None:
    write_three(store)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.writing() as tx:
        tx.connection.execute(statement)
    with store.reading() as tx:
        assert [entry.reason for entry in audit.list_entries(tx)] == [None, "frozen", None]
