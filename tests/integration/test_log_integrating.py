"""Packets and audit entries get their place in the log, whoever writes at the same time, and whoever dies in the middle."""

from __future__ import annotations

import itertools
import threading

import pytest
import sqlalchemy as sa

from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.errors import CheckpointMissing, LogEntryMissing, TreeDamaged
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.checkpoints import read_checkpoint
from stella_pipelines.evidence.log.entries import LogEntry
from stella_pipelines.evidence.log.integrating import integrate, is_waiting
from stella_pipelines.evidence.log.note_keys import log_key
from stella_pipelines.evidence.log.proving import entries_between, entry_with_id, stored_tree
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.log.tables import log_entries, log_nodes, log_pending
from stella_pipelines.evidence.merkle import leaf_hash, verify_consistency, verify_inclusion
from stella_pipelines.store.database import Store
from tests.support.evidence import NOW, RELEASE, signing_key
from tests.support.logs import SmallLog, StoppedClock

SUBJECTS = [RELEASE]


@pytest.fixture
def log(store: Store) -> SmallLog:
    return SmallLog(store)


def entries(store: Store) -> list[LogEntry]:
    """What the log has behind its first entry, the first use of the key."""
    with store.reading() as tx:
        return [entry for page in entries_between(tx, 1, 10**6) for entry, _ in page]


def test_what_was_written_stands_in_the_log_in_its_order_with_a_signed_checkpoint(log: SmallLog) -> None:
    packets = log.seal("prod", "dev", "prod")
    noted = log.note(2)
    head = log.take_in()
    found = entries(log.store)
    assert [(one.index, one.id) for one in found] == list(enumerate([*packets, *noted], start=1))
    assert [(one.stream, one.sequence) for one in found] == [
        ("environment/prod", 1), ("environment/dev", 1), ("environment/prod", 2), ("audit", 2), ("audit", 3),
    ]  # fmt: skip
    with log.store.reading() as tx:
        origin = heads.known_origin(tx)
    assert origin is not None
    verified = read_checkpoint(head.note, origin=origin, log_keys=[log_key(origin, log.key.public_pem)])
    assert (verified.checkpoint.size, verified.checkpoint.root) == (6, head.root)


def test_every_entry_has_a_proof_in_every_later_checkpoint(log: SmallLog) -> None:
    made = []
    for number in range(30):
        log.seal(*["prod"] * (number % 7 + 1))
        log.note(number % 3)
        made.append(log.take_in())
    with log.store.reading() as tx:
        tree = stored_tree(tx)
        for entry in entries(log.store):
            for head in made:
                if entry.index < head.size:
                    verify_inclusion(leaf_hash(entry.leaf_data()), entry.index, head.size, tree.inclusion_proof(entry.index, head.size), head.root)
        for older, newer in itertools.pairwise(made):
            verify_consistency(older.size, newer.size, tree.consistency_proof(older.size, newer.size), older.root, newer.root)


def test_more_than_one_tile_of_leaves_keeps_one_node_in_256(store: Store) -> None:
    log = SmallLog(store, batch_max=100)  # batches that end inside of a tile
    log.note(700)
    head = log.take_in()
    with log.store.reading() as tx:
        kept = [tuple(row) for row in tx.connection.execute(sa.select(log_nodes.c.level, log_nodes.c.node_index).order_by(log_nodes.c.node_index))]
        tree = stored_tree(tx)
        for index in (1, 255, 256, 511, 512, 700):
            found = entry_with_id(tx, f"aud_{index:06}")
            verify_inclusion(found.leaf_hash(), found.index, head.size, tree.inclusion_proof(found.index, head.size), head.root)
        sizes = [one.size for one in heads.page(tx, limit=10)]
    assert kept == [(8, 0), (8, 1)]
    assert sizes == [701, 601, 501, 401, 301, 201, 101, 1]


FALSE_HEAD = "INSERT INTO log_checkpoints SELECT {size}, root, {note}, {frontier}, at FROM log_checkpoints WHERE size = 3"
ZEROS = {"sqlite": "zeroblob(8)", "postgresql": "decode('0000000000000000', 'hex')"}


@pytest.mark.parametrize(("size", "note"), [(100, "root"), (100, "note")], ids=["nobody signed it", "the signed one is smaller"])
def test_nothing_is_built_on_a_checkpoint_that_the_log_did_not_sign(log: SmallLog, size: int, note: str) -> None:
    """Whoever can add rows, and has no key, must not get a signature for a tree of his own."""
    log.note(2)
    log.take_in()
    with log.store.writing() as tx:
        frontier = "frontier" if note == "root" else ZEROS[tx.connection.dialect.name]
        tx.connection.exec_driver_sql(FALSE_HEAD.format(size=size, note=note, frontier=frontier))
    log.note()
    with pytest.raises(TreeDamaged):
        log.take_in()
    assert is_waiting(log.store)


def test_an_entry_is_added_only_at_the_end(log: SmallLog) -> None:
    log.note()
    for index in (0, 2, 10**12):
        with pytest.raises(sa.exc.DBAPIError, match="the log grows at its end"), log.store.writing() as tx:
            tx.connection.exec_driver_sql(
                f"INSERT INTO log_entries SELECT {index}, kind, 'aud_x', 'x', 1, content, leaf_hash FROM log_entries WHERE leaf_index = 0"
            )
    assert log.take_in().size == 2


def test_nothing_waits_afterwards_and_a_second_time_nothing_is_done(log: SmallLog) -> None:
    log.seal("prod")
    assert is_waiting(log.store)
    log.take_in()
    assert not is_waiting(log.store)
    assert log.log.take_in() is None


def test_a_batch_that_fails_leaves_everything_waiting(log: SmallLog) -> None:
    log.seal("prod", "dev")

    def die() -> None:
        with log.store.writing() as tx:
            integrate(tx, log.key, NOW, 100)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die()
    assert entries(log.store) == []
    assert log.take_in().size == 3


def test_what_is_rolled_back_never_waits(log: SmallLog) -> None:
    def fail() -> None:
        with log.store.writing() as tx:
            log.evidence.seal(tx, packet_id="evd_lost", kind="decision", stream="environment/prod", subjects=SUBJECTS, predicate={"inputs": []}, at=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not is_waiting(log.store)


def test_writers_and_integrators_at_once_leave_one_dense_log(log: SmallLog) -> None:
    """Every thread is a process of its own to the database."""
    writers = [SmallLog(log.store) for _ in range(4)]
    problems: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for turn in range(15):
                with log.store.writing() as tx:
                    stream = f"environment/e{turn % 2}"
                    writers[number].evidence.seal(
                        tx, packet_id=f"evd_{number}_{turn}", kind="decision", stream=stream, subjects=SUBJECTS, predicate={"inputs": []}, at=NOW
                    )
                if turn % 5 == 0:
                    writers[number].log.take_in()
        except BaseException as error:
            problems.append(error)
            raise

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(writers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    log.log.take_in()
    found = entries(log.store)
    assert [entry.index for entry in found] == list(range(1, 61))
    for stream in ("environment/e0", "environment/e1"):
        numbers = [entry.sequence for entry in found if entry.stream == stream]
        assert numbers == list(range(1, len(numbers) + 1)), "in the log the numbers of a stream are in their order"


def test_the_log_cannot_be_changed_with_sql(log: SmallLog) -> None:
    log.seal("prod")
    log.take_in()
    log.seal("prod")
    statements = (
        "UPDATE log_entries SET content = 'x'", "DELETE FROM log_entries", "UPDATE log_checkpoints SET note = note", "DELETE FROM log_checkpoints",
        "UPDATE log_identity SET origin = 'x'", "DELETE FROM log_identity", "DELETE FROM log_pending", "UPDATE log_pending SET content = 'x'",
        "UPDATE evidence_heads SET sequence = 1", "DELETE FROM evidence_heads",
    )  # fmt: skip
    for statement in statements:
        with pytest.raises((sa.exc.DBAPIError, StellaError)), log.store.writing() as tx:
            tx.connection.exec_driver_sql(statement)
    assert log.take_in().size == 3


def test_an_entry_that_is_not_there_and_an_empty_log_are_named(store: Store) -> None:
    with store.reading() as tx, pytest.raises(LogEntryMissing):
        entry_with_id(tx, "evd_nothing")
    with pytest.raises(CheckpointMissing), Log(store, signing_key(), StoppedClock()).reading():
        pass


def test_the_waiting_notes_are_written_by_the_database_itself(log: SmallLog) -> None:
    """A writer that forgets the log does not exist: whoever inserts a packet or an entry has noted it."""
    log.note(3)
    with log.store.reading() as tx:
        assert tx.connection.execute(sa.select(sa.func.count()).select_from(log_pending)).scalar() == 3
        assert tx.connection.execute(sa.select(sa.func.count()).select_from(log_entries)).scalar() == 1
