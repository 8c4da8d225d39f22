"""Sealing: in the caller's transaction, with dense numbers per environment, in the order of time, and for ever."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from stella_pipelines.core import limits
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.errors import ClockWentBack, EvidenceMissing, PacketTooLarge, PredicateInvalid, StoredPacketDamaged
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.statement import Kind, Subject
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.evidence.tables import evidence_packets, evidence_subjects
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import Conflict
from tests.support.evidence import NOW, PREDICATE, RELEASE, signing_key

EVIDENCE = Evidence(signing_key())


def seal(tx: Transaction, packet_id: str, *, environment: str = "prod", kind: Kind = "decision", at: datetime = NOW, **more: Any) -> SealedPacket:
    about = {"subjects": [RELEASE], "predicate": PREDICATE} | more
    return EVIDENCE.seal(tx, packet_id=packet_id, kind=kind, stream=environment_stream(environment), at=at, **about)


def test_a_sealed_packet_is_stored_and_verifies(store: Store) -> None:
    with store.writing() as tx:
        sealed = seal(tx, "evd_1")
    with store.reading() as tx:
        assert EVIDENCE.get(tx, "evd_1") == sealed
    verified = verify_packet(sealed.envelope, [EVIDENCE.public_pem])
    assert (verified.packet_digest, verified.key_id, verified.kind) == (sealed.digest, sealed.key_id, "decision")
    assert (verified.seal.packet_id, verified.seal.stream, verified.seal.sequence, verified.seal.sealed_at) == ("evd_1", "environment/prod", 1, NOW)
    assert verified.statement.claim() == {"stella": {"version": 1}, **PREDICATE}


def test_numbers_are_dense_per_stream(store: Store) -> None:
    with store.writing() as tx:
        numbers = [seal(tx, f"evd_{number}", environment=name).sequence for number, name in enumerate(["prod", "dev", "prod", "prod", "dev"])]
    assert numbers == [1, 1, 2, 3, 2]


def test_a_transaction_that_fails_leaves_no_packet_and_no_gap(store: Store) -> None:
    def fail() -> None:
        with store.writing() as tx:
            seal(tx, "evd_lost")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.writing() as tx:
        assert seal(tx, "evd_1").sequence == 1
        with pytest.raises(EvidenceMissing):
            EVIDENCE.get(tx, "evd_lost")


def test_sealers_at_the_same_time_leave_no_gap(store: Store) -> None:
    def seal_five(name: str) -> None:
        for number in range(5):
            with store.writing() as tx:
                seal(tx, f"evd_{name}_{number}")

    threads = [threading.Thread(target=seal_five, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as tx:
        assert [packet.sequence for packet in EVIDENCE.list(tx, environment="prod")] == list(range(15, 0, -1))


def test_a_clock_that_went_back_seals_nothing(store: Store) -> None:
    allowed = timedelta(seconds=limits.CLOCK_BACK_MAX_S)
    with store.writing() as tx:
        seal(tx, "evd_1")
        assert seal(tx, "evd_2", at=NOW - allowed).sequence == 2
    with pytest.raises(ClockWentBack), store.writing() as tx:
        seal(tx, "evd_3", at=NOW - allowed - timedelta(microseconds=1))
    with store.writing() as tx:
        assert seal(tx, "evd_other", environment="dev", at=NOW - 2 * allowed).sequence == 1
        assert seal(tx, "evd_4", at=NOW + allowed).sequence == 3
    with pytest.raises(ClockWentBack), store.writing() as tx:
        seal(tx, "evd_5", at=NOW - timedelta(seconds=1))


@pytest.mark.parametrize("kind", ["deployment", "rollback"])
def test_an_end_is_sealed_by_a_late_clock_too_and_says_so(store: Store, kind: Kind) -> None:
    """The clock was two hours ahead once. What happened since must still be told: its effects are on the targets."""
    with store.writing() as tx:
        seal(tx, "evd_ahead", at=NOW + timedelta(hours=2))
        late = seal(tx, "evd_end", kind=kind)
        in_time = seal(tx, "evd_in_time", kind=kind, at=NOW + timedelta(hours=2))
    assert (late.sequence, in_time.sequence, late.sealed_at) == (2, 3, NOW)
    assert verify_packet(late.envelope, [EVIDENCE.public_pem]).statement.predicate["clock"] == {"behind_newest_packet_s": 7200}
    assert "clock" not in verify_packet(in_time.envelope, [EVIDENCE.public_pem]).statement.predicate


def test_an_end_by_a_late_clock_does_not_let_decisions_through(store: Store) -> None:
    with store.writing() as tx:
        seal(tx, "evd_ahead", at=NOW + timedelta(hours=2))
        seal(tx, "evd_end", kind="rollback")
    with pytest.raises(ClockWentBack), store.writing() as tx:
        seal(tx, "evd_decision")
    with store.writing() as tx:
        assert seal(tx, "evd_later", at=NOW + timedelta(hours=2)).sequence == 3


def test_only_the_sealing_tells_of_the_clock(store: Store) -> None:
    with pytest.raises(PredicateInvalid), store.writing() as tx:
        seal(tx, "evd_1", kind="deployment", predicate={**PREDICATE, "clock": {"behind_newest_packet_s": 0}})


def test_packets_after_a_number_come_in_their_order_and_bounded(store: Store) -> None:
    with store.writing() as tx:
        for number in range(1, 6):
            seal(tx, f"evd_{number}", at=NOW - timedelta(seconds=number))
        seal(tx, "evd_other", environment="dev")
        assert [packet.sequence for packet in EVIDENCE.after(tx, "environment/prod", 1, 3)] == [2, 3, 4]
        assert [packet.id for packet in EVIDENCE.after(tx, "environment/prod", 4, 3)] == ["evd_5"]
        assert EVIDENCE.after(tx, "environment/prod", 5, 3) == []


def test_lists_are_newest_first_and_filtered(store: Store) -> None:
    other = Subject(name="shop-2.0.0", digest=Digest.of(b"other"))
    with store.writing() as tx:
        seal(tx, "evd_1", environment="dev", kind="deployment")
        seal(tx, "evd_2", subjects=[RELEASE, other], at=NOW + timedelta(seconds=1))
        seal(tx, "evd_3", subjects=[other], at=NOW + timedelta(seconds=2))

        def ids(**wanted: Any) -> list[str]:
            return [packet.id for packet in EVIDENCE.list(tx, **wanted)]

        assert ids() == ["evd_3", "evd_2", "evd_1"]
        assert ids(limit=1) == ["evd_3"]
        assert ids(environment="prod") == ["evd_3", "evd_2"]
        assert ids(kind="deployment") == ["evd_1"]
        assert ids(subject=RELEASE.digest) == ["evd_2", "evd_1"]
        assert ids(subject=other.digest, environment="dev") == []


def test_an_id_is_used_once(store: Store) -> None:
    with store.writing() as tx:
        seal(tx, "evd_1")
    with pytest.raises(Conflict), store.writing() as tx:
        seal(tx, "evd_1")


def test_what_cannot_be_sealed_stops_the_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PredicateInvalid), store.writing() as tx:
        seal(tx, "evd_1", predicate={"outcome": "allow"})
    monkeypatch.setattr(limits, "PACKET_BYTES_MAX", 500)
    with pytest.raises(PacketTooLarge), store.writing() as tx:
        seal(tx, "evd_2")
    with store.reading() as tx:
        assert EVIDENCE.list(tx) == []


CHANGES = {
    "update": sa.update(evidence_packets).values(envelope=b"{}"),
    "delete": sa.delete(evidence_packets),
    "update subjects": sa.update(evidence_subjects).values(name="x"),
    "delete subjects": sa.delete(evidence_subjects),
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES.keys())
def test_the_database_itself_refuses_changes(store: Store, statement: sa.Update | sa.Delete) -> None:
    with store.writing() as tx:
        sealed = seal(tx, "evd_1")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.writing() as tx:
        tx.connection.execute(statement)
    with store.reading() as tx:
        assert EVIDENCE.list(tx, subject=RELEASE.digest) == [sealed]


def test_replacing_a_packet_is_refused_too(store: Store) -> None:
    """SQLite's `INSERT OR REPLACE` and PostgreSQL's `TRUNCATE` delete rows without an ordinary DELETE."""
    with store.writing() as tx:
        sealed = seal(tx, "evd_1")
        dialect = tx.connection.dialect.name
    replace = "INSERT OR REPLACE INTO evidence_packets SELECT id, kind, stream, sequence, 'x', key_id, sealed_at, envelope FROM evidence_packets"
    truncate = "TRUNCATE evidence_packets CASCADE"
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.writing() as tx:
        tx.connection.exec_driver_sql(replace if dialect == "sqlite" else truncate)
    with store.reading() as tx:
        assert EVIDENCE.get(tx, "evd_1") == sealed


def test_a_packet_that_was_edited_in_the_database_is_not_handed_out(store: Store) -> None:
    """Whoever owns the database can drop the triggers; the digest and the signature still show it."""
    with store.writing() as tx:
        packet = seal(tx, "evd_1")
        row = packet.model_dump() | {"id": "evd_2", "sequence": 2, "sealed_at": "2026-01-31T09:00:00.000000Z", "digest": Digest.of(b"x")}
        tx.connection.execute(sa.insert(evidence_packets).values(row))
        with pytest.raises(StoredPacketDamaged):
            EVIDENCE.get(tx, "evd_2")


def test_a_missing_packet_is_an_error(store: Store) -> None:
    with store.reading() as tx, pytest.raises(EvidenceMissing):
        EVIDENCE.get(tx, "evd_none")
