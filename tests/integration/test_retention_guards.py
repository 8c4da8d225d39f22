"""What the database itself refuses, and what a verification says of a purge that was not one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.retention import leaving
from stella_pipelines.evidence.retention.holds import every
from stella_pipelines.evidence.retention.naming import NAMES_NOTHING, unneeded
from stella_pipelines.evidence.retention.needs import DEPLOYMENTS, ENDED, EVALUATIONS, OBSERVATIONS, OVERRIDES, PROMOTIONS
from stella_pipelines.evidence.retention.scopes import OfEverything
from stella_pipelines.evidence.retention.tables import blobs_leaving, evidence_hold_events, evidence_purged
from stella_pipelines.evidence.tables import evidence_packets, evidence_subjects
from stella_pipelines.promotions.transitions import LIVE, PromotionState
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.tables import blobs as blobs_table
from tests.support.audited_story import PARTS
from tests.support.every_metadata import EVERY_METADATA
from tests.support.intrusion import without_guards
from tests.support.retention import ALICE, BOB, DAYS, Aging

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=9_000)


@pytest.fixture
def aging(store: Store) -> Aging:
    """Three releases that arrived long ago."""
    aging = Aging(store)
    aging.deploy("1", "2", "3")
    aging.pass_days(DAYS + 30)
    return aging


def purged_row(aging: Aging, packet_id: str, purge_packet_id: str, **changed: Any) -> dict[str, Any]:
    with aging.store.reading() as tx:
        packet = aging.evidence.get(tx, packet_id)
    told = {"packet_id": packet.id, "content": packet.digest, "kind": packet.kind, "stream": packet.stream, "sequence": packet.sequence}
    rest = {"sealed_at": format_instant(packet.sealed_at), "purge_packet_id": purge_packet_id, "plan": "x", "purged_by": "eve", "purged_at": "x"}
    return {**told, **rest, **changed}


def write(aging: Aging, *statements: Any) -> None:
    with aging.store.writing() as tx:
        for statement in statements:
            tx.connection.execute(statement)


# ---------------------------------------------------------------- guards


@pytest.mark.parametrize("table", [evidence_packets, evidence_subjects, evidence_purged, evidence_hold_events, blobs_table])
def test_nothing_is_deleted_past_a_purge(aging: Aging, table: sa.Table) -> None:
    aging.retention.place(ALICE, OfEverything(), "held")
    aging.retention.lift(BOB, aging.retention.holds()[0].id, "over")
    aging.retention.purge(ALICE, "yearly")
    with pytest.raises(sa.exc.DBAPIError, match=r"append-only|only in a purge"):
        write(aging, sa.delete(table))


@pytest.mark.parametrize("table", [evidence_packets, evidence_purged, evidence_hold_events, blobs_table])
def test_nothing_is_changed(aging: Aging, table: sa.Table) -> None:
    aging.retention.place(ALICE, OfEverything(), "held")
    aging.retention.lift(BOB, aging.retention.holds()[0].id, "over")
    aging.retention.purge(ALICE, "yearly")
    column = next(iter(table.columns))
    with pytest.raises(sa.exc.DBAPIError, match=r"append-only|never changed"):
        write(aging, sa.update(table).values({column: column}))


def test_a_row_of_a_purge_needs_its_sealed_packet_and_the_logged_one(aging: Aging) -> None:
    victim, other = aging.ids("decision")[:2]
    for row in (purged_row(aging, victim, other), purged_row(aging, victim, "evd_none")):
        with pytest.raises(sa.exc.DBAPIError, match=r"a purge is sealed|violates foreign key"):
            write(aging, sa.insert(evidence_purged).values(row))
    told = aging.retention.purge(ALICE, "yearly").purge_packets[0]
    kept = aging.ids("decision")[-1]
    with pytest.raises(sa.exc.DBAPIError, match="a purge is sealed"):
        write(aging, sa.insert(evidence_purged).values(purged_row(aging, kept, told, content=Digest.of(b"another"))))


# ---------------------------------------------------------------- verification


def test_a_packet_that_somebody_took_under_a_true_purge_is_found(aging: Aging) -> None:
    """The guards let a row through that names a sealed purge; the purge's own list does not name this packet."""
    told = aging.retention.purge(ALICE, "yearly").purge_packets[0]
    kept = aging.ids("decision")[-1]
    write(
        aging,
        sa.insert(evidence_purged).values(purged_row(aging, kept, told)),
        sa.delete(evidence_subjects).where(evidence_subjects.c.packet_id == kept),
        sa.delete(evidence_packets).where(evidence_packets.c.id == kept),
    )
    assert set(aging.verify().problems) == {
        f"packet {kept} was logged and is not stored any more",
        f"packet {kept} is said to be purged: the purge {told} does not name it",
    }


def test_a_purge_whose_packet_or_list_is_gone_is_found(aging: Aging) -> None:
    told = aging.retention.purge(ALICE, "yearly").purge_packets[0]
    gone = aging.read(sa.select(evidence_purged.c.packet_id))
    with aging.store.writing() as tx, without_guards(tx, ["blobs"]):
        listed = next(one.digest for one in _statement(aging, tx, told).inputs if one.name == "purged")
        tx.connection.execute(sa.delete(blobs_table).where(blobs_table.c.digest == listed))
    found = aging.verify()
    assert found.problem_count == 2 * len(gone), "each is missing, and its purge is not told"
    assert found.purged == 0
    assert f"packet {gone[0]} is said to be purged: there is no sealed purge {told} with its list" in found.problems


def test_a_packet_that_is_missing_without_a_purge_is_found_beside_a_true_one(aging: Aging) -> None:
    aging.retention.purge(ALICE, "yearly")
    kept = aging.ids("decision")[-1]
    with aging.store.writing() as tx, without_guards(tx):
        tx.connection.execute(sa.delete(evidence_subjects).where(evidence_subjects.c.packet_id == kept))
        tx.connection.execute(sa.delete(evidence_packets).where(evidence_packets.c.id == kept))
    assert aging.verify().problems == (f"packet {kept} was logged and is not stored any more",)


def test_a_row_that_somebody_made_old_is_evidence_and_stays(store: Store) -> None:
    aging = Aging(store)
    aging.deploy("1", "2", "3")
    with aging.store.writing() as tx, without_guards(tx):
        tx.connection.execute(sa.update(evidence_packets).values(sealed_at="2001-01-01T00:00:00.000000Z"))
    plan = aging.retention.plan()
    assert plan.packets == 0
    assert {group.reason for group in plan.kept} == {"damaged"}


# ---------------------------------------------------------------- holds that cannot be read


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE evidence_hold_events SET document = '{'",
        "UPDATE evidence_hold_events SET document = '{}'",
        "UPDATE evidence_hold_events SET document = replace(document, '\"everything\"', '\"nothing\"')",
        "UPDATE evidence_hold_events SET document = replace(document, 'court', 'cort')",
        "UPDATE evidence_hold_events SET kind = 'lifted'",
        "UPDATE evidence_hold_events SET hold_id = 'lgh_x'",
        "UPDATE evidence_hold_events SET position = 2",
    ],
)
def test_a_hold_that_cannot_be_read_or_was_edited_holds_everything(aging: Aging, damage: str) -> None:
    aging.retention.place(ALICE, OfEverything(), "court")
    with aging.store.writing() as tx, without_guards(tx, ["evidence_hold_events"]):
        tx.connection.exec_driver_sql(damage)
    plan = aging.retention.plan()
    assert plan.packets == 0
    assert plan.held > 0
    before = aging.blobs()
    aging.retention.purge(ALICE, "yearly")
    assert aging.blobs() == before


def test_a_lifting_that_was_made_up_lifts_nothing(aging: Aging) -> None:
    hold = aging.retention.place(ALICE, OfEverything(), "court")
    document = f'{{"at":"2030-01-01T00:00:00.000000Z","by":{{"kind":"human","name":"bob","via":"cli"}},"hold_id":"{hold.id}","kind":"lifted","reason":"x"}}'
    row = {"position": 2, "hold_id": hold.id, "kind": "lifted", "at": "2030-01-01T00:00:00.000000Z", "document": document}
    write(aging, sa.insert(evidence_hold_events).values(row))
    with aging.store.reading() as tx:
        (found,) = every(tx)
    assert found.in_force


# ---------------------------------------------------------------- blobs


def test_a_blob_that_is_stored_again_loses_its_mark(store: Store) -> None:
    with store.writing() as tx:
        digest = blobs.put(tx, b"again", "text/plain", NOW)
        leaving.mark(tx, {digest.hex}, LATER, NOW)
        assert leaving.marked(tx) == {digest.hex}
        blobs.put(tx, b"again", "text/plain", NOW)
        assert leaving.marked(tx) == set()
        leaving.mark(tx, {digest.hex}, NOW, NOW)
        assert leaving.marked(tx) == set(), "what is not older than the retention is not marked"


@pytest.mark.postgres
def test_who_was_storing_a_blob_is_waited_for(database_kind: str, store: Store) -> None:
    """On PostgreSQL somebody may have stored the blob again, unseen, before the mark, and name it only now."""
    if database_kind == "sqlite":
        with store.writing() as tx:
            leaving.settle(tx)
            assert leaving.marked(tx) == set(), "one writer at a time: there is nobody to wait for"
        return
    with store.writing() as tx:
        digest = blobs.put(tx, b"again", "text/plain", NOW)
    settled = threading.Event()

    def settle() -> None:
        with store.writing() as tx:
            leaving.settle(tx)
        settled.set()

    with store.writing() as other:
        blobs.put(other, b"again", "text/plain", NOW)
        marker = threading.Thread(target=_mark, args=(store, digest))
        marker.start()
        marker.join()
        waiting = threading.Thread(target=settle)
        waiting.start()
        assert not settled.wait(0.3)
        other.connection.execute(sa.text("CREATE TABLE names_it AS SELECT CAST(:digest AS text) AS it"), {"digest": digest})
    waiting.join()
    with store.reading() as tx:
        assert unneeded(tx, {digest.hex}) == set()


def test_every_column_keeps_what_it_names_also_one_that_nobody_knows(store: Store) -> None:
    contents = [f"content {number}".encode() for number in range(5)]
    with store.writing() as tx:
        digests = [blobs.put(tx, content, "text/plain", NOW) for content in contents]
        inner = blobs.put(tx, b"inner", "text/plain", NOW)
        outer = blobs.put(tx, f"names {inner}".encode(), "text/plain", NOW)
        tx.connection.exec_driver_sql("CREATE TABLE of_a_later_version (id INTEGER, named TEXT, document TEXT)")
        row = {"named": digests[1], "document": f'{{"deep":{{"sha256":"{digests[2].hex}"}}}}', "outer": outer}
        tx.connection.execute(sa.text("INSERT INTO of_a_later_version VALUES (1, :named, :document), (2, :outer, NULL)"), row)
        marked = {digest.hex for digest in (*digests, inner, outer)}
        leaving.mark(tx, marked, LATER, NOW)
    with store.reading() as tx:
        assert unneeded(tx, marked) == {digests[0].hex, digests[3].hex, digests[4].hex}


@pytest.mark.parametrize("table", ["promotions", "promotion_evaluations", "gate_results", "approvals", "deployments", "releases"])
def test_a_new_column_of_a_known_table_keeps_what_it_names(store: Store, table: str) -> None:
    PARTS["promotions"](store)
    with store.writing() as tx, without_guards(tx, ["releases"]):
        digest = blobs.put(tx, b"named by a new column", "text/plain", NOW)
        tx.connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN of_a_later_version TEXT")
        assert unneeded(tx, {digest.hex}) == {digest.hex}
        tx.connection.execute(sa.text(f"UPDATE {table} SET of_a_later_version = :digest"), {"digest": digest})
        assert unneeded(tx, {digest.hex}) == set()


def test_only_known_tables_name_nothing_and_everything_that_is_done_keeps_its_blobs(store: Store) -> None:
    """After everything that the product does nothing may go: no packet was purged, and whatever is stored is named by somebody who counts."""
    PARTS["promotions"](store)
    with store.reading() as tx:
        assert set(NAMES_NOTHING) <= set(sa.inspect(tx.connection).get_table_names())
        everything = {digest.removeprefix("sha256:") for digest in tx.connection.execute(sa.select(blobs_table.c.digest)).scalars()}
        free = unneeded(tx, everything)
        assert {_named_by(tx, one) for one in free} <= {frozenset()}, "a column that names a blob does not keep it"


@pytest.mark.parametrize("named", [DEPLOYMENTS, PROMOTIONS, EVALUATIONS, OVERRIDES, OBSERVATIONS], ids=lambda table: str(table.name))
def test_the_tables_that_are_named_and_not_imported_have_these_columns(named: sa.TableClause) -> None:
    assert {column.name for column in named.columns} <= {column.name for column in EVERY_METADATA.tables[named.name].columns}


def test_ended_promotions_are_exactly_those_that_are_not_live() -> None:
    assert set(ENDED) == {state.value for state in PromotionState} - {state.value for state in LIVE}


def _named_by(tx: Transaction, hexdigest: str) -> frozenset[str]:
    """The tables in which the digest stands in the open, but for those that only hash rows."""
    found = set()
    inspector = sa.inspect(tx.connection)
    for table in set(inspector.get_table_names()) - {"blobs", "blobs_leaving", "audit_entries", "log_pending", "log_entries"}:
        for column in inspector.get_columns(table):
            if isinstance(column["type"], sa.Text):
                name = sa.column(column["name"], sa.Text)
                query = sa.select(sa.literal(1)).select_from(sa.table(table)).where(name.like(f"%{hexdigest}%")).limit(1)
                if tx.connection.execute(query).first() is not None:
                    found.add(f"{table}.{column['name']}")
    return frozenset(found)


def _mark(store: Store, digest: Digest) -> None:
    with store.writing() as tx:
        leaving.mark(tx, {digest.hex}, LATER, NOW)


def _statement(aging: Aging, tx: Transaction, packet_id: str) -> Any:
    from stella_pipelines.evidence.verify import verify_packet

    return verify_packet(aging.evidence.get(tx, packet_id).envelope, aging.evidence.keys(tx)).statement


def test_the_marks_outlive_a_purge_that_was_stopped_between_packets_and_blobs(aging: Aging, monkeypatch: pytest.MonkeyPatch) -> None:
    from stella_pipelines.evidence.retention.sweeping import Sweeping

    with monkeypatch.context() as patched:
        patched.setattr(Sweeping, "sweep", _die)
        with pytest.raises(KeyboardInterrupt):
            aging.retention.purge(ALICE, "yearly")
    assert aging.read(sa.select(blobs_leaving.c.digest)) != []
    before = aging.blobs()
    report = aging.retention.purge(ALICE, "the rest")
    assert (report.packets, report.blobs) == (0, len(before - aging.blobs()))
    assert report.blobs > 0
    assert aging.verify().problems == ()


def _die(_sweeping: object) -> None:
    raise KeyboardInterrupt
