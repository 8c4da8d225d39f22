"""A purge that is killed in the middle leaves whole batches, each told in a sealed packet; the same plan goes on. And one of 10,000 packets is small."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.context import SpawnContext

import sqlalchemy as sa

from stella_pipelines.evidence.log.verifying import Head, LogReport, verify_log
from stella_pipelines.evidence.retention.proving import ProvenPurges
from stella_pipelines.evidence.retention.selecting import PAGE
from stella_pipelines.evidence.retention.tables import evidence_purged
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.store.database import Store
from stella_pipelines.store.tables import blobs
from tests.support import purging_process
from tests.support.evidence import signing_key
from tests.support.waiting import eventually

SPAWN: SpawnContext = multiprocessing.get_context("spawn")
KILLED_AT = 20 * PAGE
MANY = 10_000
CPU_S_PER_PACKET_MAX = 0.005
GROWN_BYTES_MAX = 100 * 1024 * 1024


def count(store: Store, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    with store.reading() as tx:
        return int(tx.connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one())


def report_of(store: Store) -> LogReport:
    purging = purging_process.retention(store)
    purging._log.take_in()
    with purging._log.reading() as (tx, newest):
        ring = Evidence(signing_key()).keys(tx)
        return verify_log(tx, ring, Head(size=newest.size, root=newest.root), purges=ProvenPurges(ring))


def test_a_killed_purge_leaves_whole_batches_and_the_same_plan_goes_on(database_url: str, store: Store) -> None:
    purging_process.fill(store, KILLED_AT)
    plan = purging_process.retention(store).plan()
    assert plan.packets == KILLED_AT
    process = SPAWN.Process(target=purging_process.purge, args=(database_url, str(plan.digest)))
    process.start()
    eventually(lambda: count(store, evidence_purged) >= 2 * PAGE, timeout_s=60)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    gone = count(store, evidence_purged)
    assert 0 < gone < KILLED_AT, "the process was killed too late to show anything"
    assert gone % PAGE == 0
    decisions = evidence_packets.c.kind == "decision"
    assert count(store, evidence_packets, decisions) == KILLED_AT - gone
    assert count(store, evidence_packets, evidence_packets.c.kind == "purge") == gone // PAGE
    found = report_of(store)
    assert (found.problems, found.purged) == ((), gone)

    again = purging_process.retention(store).plan(agreed=plan.digest)
    assert (again.digest, again.packets, again.purged_before) == (plan.digest, KILLED_AT - gone, gone)
    rest = purging_process.purge(database_url, str(plan.digest))
    assert (rest.packets, rest.blobs) == (KILLED_AT - gone, KILLED_AT)
    assert count(store, evidence_packets, decisions) == 0
    assert count(store, blobs, blobs.c.media_type == "application/json") == 0
    assert report_of(store).problems == ()
    assert report_of(store).purged == KILLED_AT


def test_10_000_packets_are_purged_in_bounded_memory_and_time(database_url: str, store: Store) -> None:
    purging_process.fill(store, MANY)
    with SPAWN.Pool(1) as pool:
        report, cpu_s, grown_bytes = pool.apply(purging_process.measured_purge, (database_url,))
    assert (report.packets, report.blobs) == (MANY, MANY)
    assert cpu_s < MANY * CPU_S_PER_PACKET_MAX
    assert grown_bytes < GROWN_BYTES_MAX
    assert count(store, evidence_packets, evidence_packets.c.kind == "decision") == 0
