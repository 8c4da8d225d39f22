"""The key history: old packets stay verifiable, a revoked key is named, and nobody without a key can write one."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import stella_pipelines.evidence
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence import audit, errors
from stella_pipelines.evidence.keys import changes as key_changes
from stella_pipelines.evidence.keys.book import append, history_of
from stella_pipelines.evidence.keys.events import Introduced, Revoked, introduced, signed
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.keys.history import EVENTS_MAX, HISTORY_BYTES_MAX, KeyHistory, checked, read_history
from stella_pipelines.evidence.keys.signing import KeyWhenNeeded
from stella_pipelines.evidence.keys.tables import evidence_key_events
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.streams import RELEASES
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import Conflict
from tests.support.evidence import NOW, PREDICATE, RELEASE, genuine_packet, p256_key, signing_key
from tests.support.waiting import eventually

ALICE = Actor(name="alice", via="test")
FIRST, SECOND, THIRD = signing_key(1), p256_key(2), signing_key(3)
SCHEMA = json.loads((Path(stella_pipelines.evidence.__file__).parent / "keys" / "key-history-v1.schema.json").read_text())


def a_history() -> KeyHistory:
    """First, then second, the first revoked, then third."""
    first = signed(introduced(FIRST, NOW, "first", None, FIRST.key_id), FIRST)
    second = signed(introduced(SECOND, NOW + timedelta(days=1), "yearly", first.content_digest(), FIRST.key_id), FIRST)
    gone = Revoked(key_id=FIRST.key_id, at=NOW + timedelta(days=2), reason="laptop stolen", trusted_size=7, previous=second.content_digest(), by=SECOND.key_id)
    gone = signed(gone, SECOND)
    third = signed(introduced(THIRD, NOW + timedelta(days=3), "yearly", gone.content_digest(), SECOND.key_id), SECOND)
    return checked([first, second, gone, third])


HISTORY = a_history()
LOCK_WAITS = sa.text("SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database() AND NOT granted")
FILE = HISTORY.canonical()


def rotate(store: Store, old: FileKey | None, new: FileKey) -> Introduced:
    with store.writing() as tx:
        return key_changes.rotate(tx, old=old, new=new, at=NOW, actor=ALICE, reason="yearly")


def revoke(store: Store, key_id: str, signer: FileKey, trusted_size: int = 0) -> Revoked:
    with store.writing() as tx:
        return key_changes.revoke(tx, key_id=key_id, signer=signer, trusted_size=trusted_size, at=NOW, actor=ALICE, reason="laptop stolen")


def seal(store: Store, key: FileKey | KeyWhenNeeded, packet_id: str = "evd_1") -> SealedPacket:
    with store.writing() as tx:
        return Evidence(key).seal(tx, packet_id=packet_id, kind="release", stream=RELEASES, subjects=[RELEASE], predicate=PREDICATE, at=NOW)


def stored(store: Store) -> KeyHistory:
    with store.reading() as tx:
        return history_of(tx)


class TestTheFile:
    def test_it_reads_back_and_fits_its_schema(self) -> None:
        assert read_history(FILE) == HISTORY
        Draft202012Validator.check_schema(SCHEMA)
        Draft202012Validator(SCHEMA).validate(json.loads(FILE))
        assert b"PRIVATE" not in FILE

    def test_it_says_when_each_key_sealed(self) -> None:
        told = [(one.key_id, one.since, one.retired_at, one.revoked is not None) for one in HISTORY.records]
        days = [NOW + timedelta(days=count) for count in range(4)]
        assert told == [(FIRST.key_id, days[0], days[1], True), (SECOND.key_id, days[1], days[3], False), (THIRD.key_id, days[3], None, False)]
        assert HISTORY.in_force == THIRD.key_id

    def test_who_trusts_one_key_trusts_what_follows_from_it_and_nothing_before(self) -> None:
        assert set(HISTORY.ring().keys) == set(HISTORY.ring([FIRST.key_id]).keys) == {FIRST.key_id, SECOND.key_id, THIRD.key_id}
        assert set(HISTORY.ring([SECOND.key_id]).keys) == {SECOND.key_id, THIRD.key_id}
        assert set(HISTORY.ring([signing_key(9).key_id]).keys) == set()

    def test_after_a_lost_key_nothing_follows(self) -> None:
        event = introduced(signing_key(4), NOW + timedelta(days=4), "lost", HISTORY.head, None)
        longer = checked([*HISTORY.events, event])
        assert signing_key(4).key_id not in longer.ring([FIRST.key_id]).keys
        assert signing_key(4).key_id in longer.ring().keys

    @pytest.mark.parametrize("bit", range(8))
    def test_flipping_any_bit_is_refused(self, bit: int) -> None:
        for position in range(len(FILE)):
            content = bytearray(FILE)
            content[position] ^= 1 << bit
            with pytest.raises(errors.KeyHistoryInvalid):
                read_history(bytes(content))

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.sampled_from(range(len(HISTORY.events))), max_size=6))
    def test_other_choices_and_orders_of_the_same_events_are_refused_but_for_an_older_state(self, places: list[int]) -> None:
        events = [HISTORY.events[place] for place in places]
        if places == list(range(len(places))):
            assert checked(events).events == tuple(events)
        else:
            with pytest.raises(errors.KeyHistoryInvalid):
                checked(events)

    def test_a_stranger_cannot_introduce_or_revoke(self) -> None:
        stranger = signing_key(8)
        forged = introduced(stranger, NOW, "mine now", HISTORY.head, THIRD.key_id)
        taken = Revoked(key_id=SECOND.key_id, at=NOW, reason="x", trusted_size=0, previous=a_digest(), by=THIRD.key_id)
        cases: list[Introduced | Revoked] = [
            signed(forged, stranger),
            signed(forged.model_copy(update={"by": stranger.key_id}), stranger),
            signed(taken, stranger),
            taken,
        ]
        for event in cases:
            with pytest.raises(errors.KeyHistoryInvalid):
                checked([*HISTORY.events, event])

    def test_a_retired_or_revoked_key_cannot_introduce_either(self) -> None:
        for old in (FIRST, SECOND):
            event = signed(introduced(signing_key(8), NOW, "mine now", HISTORY.head, old.key_id), old)
            with pytest.raises(errors.KeyHistoryInvalid):
                checked([*HISTORY.events, event])

    def test_an_event_cannot_pass_for_a_packet_and_no_packet_for_an_event(self) -> None:
        event = signed(introduced(FIRST, NOW, "first", None, FIRST.key_id), FIRST)
        assert event.signature is not None
        packet = json.loads(genuine_packet(FIRST))
        packet["signatures"][0]["sig"] = event.signature
        with pytest.raises(errors.SignatureInvalid):
            verify_packet(canonical_json(packet), [FIRST.public_pem])
        with pytest.raises(errors.KeyHistoryInvalid):
            checked([event.model_copy(update={"signature": json.loads(genuine_packet(FIRST))["signatures"][0]["sig"]})])

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{}",
            b"[]",
            b"null",
            FILE[:-1],
            FILE + b"\n",
            b" " * (HISTORY_BYTES_MAX + 1),
            b"[" * 100_000,
            json.dumps(json.loads(FILE), indent=1).encode(),
            canonical_json({"form": json.loads(FILE)["form"], "events": [{}] * (EVENTS_MAX + 1)}),
            canonical_json({**json.loads(FILE), "more": 1}),
            canonical_json({"form": json.loads(FILE)["form"], "events": [{"kind": "other"}]}),
            FILE.replace(b'"trusted_size":7', b'"trusted_size":true'),
            genuine_packet(),
        ],
        ids=range(14),
    )
    def test_what_is_no_history_is_refused(self, content: bytes) -> None:
        with pytest.raises(errors.KeyHistoryInvalid):
            read_history(content)


def a_digest() -> Any:
    assert HISTORY.head is not None
    return HISTORY.head


class TestVerifyingWithIt:
    def test_a_packet_by_an_old_key_stays_verifiable(self) -> None:
        assert verify_packet(genuine_packet(SECOND), HISTORY.ring()).key_id == SECOND.key_id

    def test_a_packet_by_a_revoked_key_is_refused_by_name(self) -> None:
        with pytest.raises(errors.KeyRevoked) as caught:
            verify_packet(genuine_packet(FIRST), HISTORY.ring())
        for word in (FIRST.key_id, "2026-02-02T09:00:00.000000Z", "laptop stolen"):
            assert word in caught.value.what

    @pytest.mark.parametrize(("index", "trusted"), [(0, True), (6, True), (7, False), (8, False)])
    def test_the_log_says_what_it_signed_before(self, index: int, trusted: bool) -> None:
        if trusted:
            assert verify_packet(genuine_packet(FIRST), HISTORY.ring(), log_index=index).key_id == FIRST.key_id
        else:
            with pytest.raises(errors.KeyRevoked, match=f"at {index}"):
                verify_packet(genuine_packet(FIRST), HISTORY.ring(), log_index=index)

    def test_the_place_in_the_log_does_not_make_a_forged_packet_genuine(self) -> None:
        forged = json.loads(genuine_packet(THIRD))
        forged["signatures"][0]["keyid"] = FIRST.key_id
        with pytest.raises(errors.SignatureInvalid):
            verify_packet(canonical_json(forged), HISTORY.ring(), log_index=0)


class TestTheInstallationsOwn:
    def test_the_first_use_is_recorded_with_the_first_packet(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError), store.writing() as tx:
            Evidence(FIRST).seal(tx, packet_id="evd_0", kind="release", stream=RELEASES, subjects=[RELEASE], predicate=PREDICATE, at=NOW)
            raise ZeroDivisionError
        assert stored(store).events == ()
        for number in range(3):
            seal(store, FIRST, f"evd_{number}")
        assert [(one.key_id, one.since) for one in stored(store).records] == [(FIRST.key_id, NOW)]

    def test_rotation_and_revocation_are_told_in_the_audit_trail(self, store: Store) -> None:
        seal(store, FIRST)
        second = rotate(store, FIRST, SECOND)
        gone = revoke(store, FIRST.key_id, SECOND, trusted_size=1)
        with store.reading() as tx:
            told = [(entry.action, entry.subject, entry.actor.name, entry.after) for entry in audit.list_entries(tx)][::-1]
        assert told[1:] == [
            ("key.introduce", f"key/{SECOND.key_id}", "alice", second.content_digest()),
            ("key.revoke", f"key/{FIRST.key_id}", "alice", gone.content_digest()),
        ]
        assert told[0][:3] == ("key.introduce", f"key/{FIRST.key_id}", "stella")
        assert read_history(stored(store).canonical()).revocations[FIRST.key_id].trusted_size == 1

    def test_a_process_with_the_old_key_seals_nothing_more(self, store: Store) -> None:
        seal(store, FIRST)
        rotate(store, FIRST, SECOND)
        with pytest.raises(errors.KeyNotInForce, match=SECOND.key_id):
            seal(store, FIRST, "evd_2")
        assert seal(store, SECOND, "evd_2").sequence == 2

    def test_a_key_that_can_be_looked_for_again_is(self, store: Store) -> None:
        kept = [FIRST]
        key = KeyWhenNeeded(lambda wanted: kept[0])
        seal(store, key)
        rotate(store, FIRST, SECOND)
        kept[0] = SECOND
        assert seal(store, key, "evd_2").key_id == SECOND.key_id

    def test_both_packets_verify_with_the_history(self, store: Store) -> None:
        packets = [seal(store, FIRST)]
        rotate(store, FIRST, SECOND)
        packets.append(seal(store, SECOND, "evd_2"))
        ring = read_history(stored(store).canonical()).ring([FIRST.key_id])
        assert [verify_packet(packet.envelope, ring).key_id for packet in packets] == [FIRST.key_id, SECOND.key_id]

    def test_what_cannot_be_changed_is_refused(self, store: Store) -> None:
        seal(store, FIRST)
        with pytest.raises(errors.KeyChangeRefused):
            rotate(store, FIRST, FIRST)
        with pytest.raises(errors.KeyNotInForce):
            rotate(store, THIRD, SECOND)
        with pytest.raises(errors.KeyChangeRefused):
            revoke(store, FIRST.key_id, FIRST)
        with pytest.raises(errors.KeyMissing):
            revoke(store, "0" * 64, FIRST)
        rotate(store, None, SECOND)
        assert stored(store).records[-1].vouched_by is None
        revoke(store, FIRST.key_id, SECOND)
        with pytest.raises(errors.KeyChangeRefused):
            revoke(store, FIRST.key_id, SECOND)
        with pytest.raises(errors.KeyChangeRefused):
            rotate(store, SECOND, FIRST)
        assert len(stored(store).events) == 3

    @pytest.mark.parametrize("statement", ["UPDATE evidence_key_events SET kind = 'x'", "DELETE FROM evidence_key_events"])
    def test_the_database_keeps_it(self, store: Store, statement: str) -> None:
        seal(store, FIRST)
        with pytest.raises((StellaError, sa.exc.DatabaseError)), store.writing() as tx:
            tx.connection.execute(sa.text(statement))
        assert len(stored(store).events) == 1

    def test_of_two_who_change_it_at_once_one_conflicts(self, store: Store) -> None:
        seal(store, FIRST)
        event = signed(introduced(SECOND, NOW, "x", stored(store).head, FIRST.key_id), FIRST)
        with store.writing() as tx:
            append(tx, event, 2, ALICE)
        with pytest.raises(Conflict), store.writing() as tx:
            append(tx, event, 2, ALICE)

    def test_an_edited_row_is_noticed(self, store: Store) -> None:
        seal(store, FIRST)
        forged = introduced(THIRD, NOW, "mine", stored(store).head, FIRST.key_id)
        with store.writing() as tx:
            row = {"position": 2, "kind": "introduced", "key_id": THIRD.key_id, "at": "", "document": signed(forged, THIRD).canonical().decode()}
            tx.connection.execute(sa.insert(evidence_key_events).values(row))
        with pytest.raises(errors.KeyHistoryInvalid):
            stored(store)


def test_a_rotation_waits_for_whoever_is_sealing(store: Store) -> None:
    """What the old key seals is committed before the new one is in force; so a revocation right after it trusts all of it."""
    with store.writing() as tx:
        Evidence(FIRST).seal(tx, packet_id="evd_1", kind="release", stream=RELEASES, subjects=[RELEASE], predicate=PREDICATE, at=NOW)
    done: list[str] = []

    def change() -> None:
        rotate(store, FIRST, SECOND)
        done.append("rotated")

    changing = threading.Thread(target=change)
    with store.writing() as tx:
        Evidence(FIRST).seal(tx, packet_id="evd_2", kind="release", stream=RELEASES, subjects=[RELEASE], predicate=PREDICATE, at=NOW)
        changing.start()
        if tx.connection.dialect.name == "postgresql":
            assert eventually(lambda: tx.connection.execute(LOCK_WAITS).scalar()) == 1
        assert done == []
    changing.join()
    assert done == ["rotated"]
