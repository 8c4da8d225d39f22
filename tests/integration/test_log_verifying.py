"""`verify_log` finds whatever somebody with a database shell did to the evidence, and finds nothing when nobody did."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stella_pipelines.evidence.errors import TreeDamaged
from stella_pipelines.evidence.keys.ring import KeyRing, Revocation
from stella_pipelines.evidence.log.proving import stored_tree
from stella_pipelines.evidence.log.verifying import PROBLEMS_MAX, Head, LogReport, verify_log
from stella_pipelines.store.database import Store
from tests.support.evidence import NOW, signing_key
from tests.support.intrusion import without_guards
from tests.support.logs import SmallLog

EVERYTHING = ("evidence_packets", "evidence_subjects", "evidence_heads", "audit_entries", "log_entries", "log_nodes", "log_checkpoints", "log_pending")


@pytest.fixture
def log(store: Store) -> SmallLog:
    """Three batches behind the first use of the key: 13 entries."""
    log = SmallLog(store)
    for _ in range(3):
        log.seal("prod", "dev")
        log.note(2)
        log.take_in()
    return log


def head(log: SmallLog) -> Head:
    with log.log.reading() as (_, newest):
        return Head(size=newest.size, root=newest.root)


def verified(log: SmallLog, since: Head | None = None, until: Head | None = None, ring: KeyRing | None = None) -> LogReport:
    with log.log.reading() as (tx, newest):
        return verify_log(tx, ring or KeyRing.of([log.key.public_pem]), until or Head(size=newest.size, root=newest.root), since)


def intrude(log: SmallLog, *statements: str) -> None:
    with log.store.writing() as tx, without_guards(tx, EVERYTHING):
        for statement in statements:
            tx.connection.exec_driver_sql(statement)


def test_an_untouched_log_is_complete(log: SmallLog) -> None:
    seen: list[int] = []
    with log.log.reading() as (tx, newest):
        report = verify_log(tx, KeyRing.of([log.key.public_pem]), Head(size=newest.size, root=newest.root), progress=seen.append)
    assert (report.problems, report.problem_count) == ((), 0)
    assert (report.first, report.size, report.packets, report.audit_entries) == (0, 13, 6, 7)
    assert report.streams == {"audit": 7, "environment/dev": 3, "environment/prod": 3}
    assert seen == [13]


@pytest.mark.parametrize("size", [1, 5, 9, 13])
def test_from_an_older_checkpoint_only_what_came_behind_is_read(log: SmallLog, size: int) -> None:
    with log.store.reading() as tx:
        older = Head(size=size, root=stored_tree(tx).root(size))
    report = verified(log, since=older)
    assert report.problems == ()
    assert report.packets + report.audit_entries == 13 - size


FIRST_LEAF = "(SELECT leaf_hash FROM log_entries WHERE leaf_index = 0)"
FIRST_ENVELOPE = "(SELECT envelope FROM evidence_packets WHERE id = 'evd_000001')"
INTRUSIONS: dict[str, tuple[Sequence[str], str]] = {
    "a packet is deleted": (
        ["DELETE FROM evidence_subjects WHERE packet_id = 'evd_000005'", "DELETE FROM evidence_packets WHERE id = 'evd_000005'"],
        "evd_000005 was logged and is not stored any more",
    ),
    "a packet's bytes are changed": ([f"UPDATE evidence_packets SET envelope = {FIRST_ENVELOPE} WHERE id = 'evd_000002'"], "evd_000002"),
    "an entry is moved to another stream": (["UPDATE log_entries SET stream = 'environment/elsewhere' WHERE entry_id = 'evd_000002'"], "leaf hash"),
    "an audit entry is edited": (["UPDATE audit_entries SET reason = 'nothing happened' WHERE id = 'aud_000003'"], "other contents than were logged"),
    "an audit entry's digest is edited with it": (
        [f"UPDATE audit_entries SET actor_name = 'mallory', digest = 'sha256:{'0' * 64}' WHERE id = 'aud_000004'"],
        "aud_000004 is stored with other contents",
    ),
    "an audit entry is deleted": (["DELETE FROM audit_entries WHERE id = 'aud_000003'"], "not stored any more"),
    "the last entries of the log are cut off": (["DELETE FROM log_entries WHERE leaf_index >= 11"], "in a row"),
    "an entry in the middle is taken out": (["DELETE FROM log_entries WHERE leaf_index = 5"], "stands where entry 5 must"),
    "a leaf hash is changed": ([f"UPDATE log_entries SET leaf_hash = {FIRST_LEAF} WHERE leaf_index = 7"], "leaf hash"),
    "an entry's content is no digest": (["UPDATE log_entries SET content = 'nothing' WHERE leaf_index = 7"], "cannot be read"),
    "a number is taken out of a stream": (["UPDATE log_entries SET sequence = 7 WHERE entry_id = 'evd_000009'"], "missing"),
    "an entry's number is beyond JSON's": ([f"UPDATE log_entries SET sequence = {2**60} WHERE leaf_index = 7"], "leaf hash"),
    "an entry is of no known kind": (["UPDATE log_entries SET kind = 'nothing' WHERE leaf_index = 7"], "is of no kind that is logged"),
    "a packet's kind is edited, so that no search shows it": (
        ["UPDATE evidence_packets SET kind = 'drift' WHERE id = 'evd_000005'"],
        "evd_000005 is found under something else than was sealed: the kind is",
    ),
    "a packet is said to be about something else": (
        [f"UPDATE evidence_subjects SET digest = 'sha256:{'0' * 64}' WHERE packet_id = 'evd_000005'"],
        "evd_000005 is found under something else than was sealed: the subjects",
    ),
    "an entry stands behind the end of the log": (
        ["INSERT INTO log_entries SELECT 900000, kind, 'aud_new', 'nowhere', 1, content, leaf_hash FROM log_entries WHERE leaf_index = 0"],
        "entry 900000 (aud_new) stands behind the log's end, which is at 13",
    ),
    "a node stands where the tree has none yet": (
        ["INSERT INTO log_nodes SELECT 8, 0, leaf_hash FROM log_entries WHERE leaf_index = 0"],
        "node 0 of level 8 is stored, and a log of 13 entries has none there",
    ),
    "the newest packets are gone with their entries": (
        [
            "DELETE FROM log_checkpoints WHERE size > 9",
            "DELETE FROM log_entries WHERE leaf_index >= 9",
            "DELETE FROM evidence_subjects WHERE packet_id > 'evd_000008'",
            "DELETE FROM evidence_packets WHERE id > 'evd_000008'",
            "DELETE FROM audit_entries WHERE id > 'aud_000008'",
        ],
        "was counted up to 3, and its newest packet is no. 2",
    ),
}


@pytest.mark.parametrize("name", INTRUSIONS)
def test_an_intrusion_is_found(log: SmallLog, name: str) -> None:
    statements, says = INTRUSIONS[name]
    intrude(log, *statements)
    report = verified(log)
    assert report.problem_count > 0
    assert any(says in problem for problem in report.problems), report.problems


def test_a_history_that_is_written_anew_is_detected_by_any_older_checkpoint(log: SmallLog) -> None:
    """The intruder has the key and the database, and makes a log that is perfect in itself; the auditor has a file of 100 bytes."""
    kept = []
    for size in (5, 9, 13):
        with log.store.reading() as tx:
            kept.append(Head(size=size, root=stored_tree(tx).root(size)))
    intrude(
        log,
        *(
            f"DELETE FROM {table}"
            for table in ("log_checkpoints", "log_entries", "log_nodes", "evidence_subjects", "evidence_packets", "evidence_heads", "audit_entries")
        ),
    )
    log.note()
    for _ in range(3):
        log.seal("prod", "dev")
        log.note(2)
        log.take_in()
    assert verified(log).problems == (), "in itself the new history is perfect"
    for older in kept:
        assert any("written anew" in problem for problem in verified(log, since=older).problems)


@pytest.mark.parametrize("statement", ["UPDATE log_nodes SET hash = " + FIRST_LEAF, "DELETE FROM log_nodes"])
def test_a_node_that_is_kept_for_proofs_is_compared_with_the_entries(store: Store, statement: str) -> None:
    log = SmallLog(store)
    log.note(600)
    log.take_in()
    assert verified(log).problems == ()
    intrude(log, statement)
    assert ["level 8" in problem for problem in verified(log).problems] == [True, True]


def test_a_packet_beside_the_log_is_found(log: SmallLog) -> None:
    with log.store.writing() as tx, without_guards(tx, ("evidence_packets",)):  # the trigger that notes it is off too
        tx.connection.exec_driver_sql(
            "INSERT INTO evidence_packets (id, kind, stream, sequence, digest, key_id, sealed_at, envelope)"
            " SELECT 'evd_beside', kind, 'environment/qa', 1, 'x', key_id, sealed_at, envelope FROM evidence_packets WHERE id = 'evd_000001'"
        )
    assert any("evd_beside is stored, but the log does not have it" in problem for problem in verified(log).problems)


def test_an_audit_entry_that_is_kept_out_of_the_log_is_found(log: SmallLog) -> None:
    """A row far behind the end lets the note go that waits for the entry; the numbers of the audit trail are given later and show no gap."""
    (victim,) = log.note()
    intrude(log, f"INSERT INTO log_entries VALUES (900000, 'audit', '{victim}', 'nowhere', 1, 'x', (SELECT leaf_hash FROM log_entries WHERE leaf_index = 0))")
    with log.store.writing() as tx:
        tx.connection.exec_driver_sql(f"DELETE FROM log_pending WHERE entry_id = '{victim}'")
    problems = verified(log).problems
    assert any(f"{victim} is stored, but the log does not have it" in problem for problem in problems), problems
    log.note()
    with pytest.raises(TreeDamaged, match="900000"):
        log.take_in()


def test_what_came_behind_the_newer_checkpoint_is_no_problem(log: SmallLog) -> None:
    with log.store.reading() as tx:
        until = Head(size=9, root=stored_tree(tx).root(9))
    newest = head(log)
    with log.log.reading() as (tx, _):
        report = verify_log(tx, KeyRing.of([log.key.public_pem]), until, newest=newest)
    assert (report.problems, report.size) == ((), 9)


def test_a_revoked_key_counts_for_what_stood_in_the_log_before(log: SmallLog) -> None:
    ring = KeyRing.of([log.key.public_pem])
    revoked = Revocation(at=NOW, reason="lost laptop", trusted_size=13)
    assert verified(log, ring=KeyRing(ring.keys, {log.key.key_id: revoked})).problems == ()
    earlier = revoked.model_copy(update={"trusted_size": 10})
    problems = verified(log, ring=KeyRing(ring.keys, {log.key.key_id: earlier})).problems
    assert ["lost laptop" in problem for problem in problems] == [True]


def test_packets_by_a_key_that_nobody_vouches_for_are_named(log: SmallLog) -> None:
    problems = verified(log, ring=KeyRing.of([signing_key(9).public_pem])).problems
    assert [log.key.key_id in problem for problem in problems] == [True] * 6


def test_very_many_problems_are_counted_and_not_all_told(store: Store) -> None:
    log = SmallLog(store)
    log.note(PROBLEMS_MAX + 50)
    log.take_in()
    intrude(log, "UPDATE audit_entries SET reason = 'edited'")
    report = verified(log)
    assert (len(report.problems), report.problem_count) == (PROBLEMS_MAX, PROBLEMS_MAX + 51)


def test_a_checkpoint_of_another_log_does_not_fit(log: SmallLog) -> None:
    other = Head(size=13, root=b"\x01" * 32)
    assert any("do not give the checkpoint's root" in problem for problem in verified(log, until=other).problems)
    assert any("written anew" in problem for problem in verified(log, since=Head(size=4, root=b"\x01" * 32)).problems)
    assert any("in a row" in problem for problem in verified(log, until=Head(size=500, root=b"\x01" * 32)).problems)
