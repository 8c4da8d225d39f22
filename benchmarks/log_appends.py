"""`log_appends`: packets sealed a second, each with its proof from the log within a second, on PostgreSQL and on SQLite.

Some processes seal for a while, each into a stream of its own, while this one takes what waits into the log as the submitter does. Measured twice:
one packet in a transaction, as a decision is sealed, and some in one, as a deployment's end or a repair seals them. How late the proofs were is
asked of the log itself afterwards: the checkpoint that first covered a packet says when it was signed. The PostgreSQL server is the tests' own, in
memory and without fsync: what is measured is the work, and not a disk.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from benchmarks.row import Row
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import SystemClock, parse_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.log.service import TAKEN_IN_EVERY_S, Log
from stella_pipelines.evidence.log.tables import log_checkpoints, log_entries
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.store.database import Store
from tests.support.postgres import INSTALL, PostgresCluster, binaries

SECONDS: Final = 12.0
GROUP: Final = 20
WRITERS: Final = {"postgres": 4, "sqlite": 1}
"""Processes that seal. SQLite has one writer at a time, and they would only wait for each other."""
LIMITS: Final = {"postgres": 1_500.0, "sqlite": 1_000.0}
LATENESS_S_MAX: Final = 1.0
_PREDICATE: Final = {
    "inputs": [{"name": f"gate/{name}", "digest": Digest.of(name.encode())} for name in ("approval", "freeze", "policy", "security")],
    "decision": {"outcome": "allow", "requested_by": Actor(name="bench", via="test").document(), "reason": "benchmark " * 40},
}
_SUBJECTS: Final = [Subject(name="shop-1.0", digest=Digest.of(b"release"))]


def log_appends(seconds: float = SECONDS) -> list[Row]:
    """Both databases, both ways."""
    with tempfile.TemporaryDirectory(prefix="stella-appends-") as folder, _cluster() as cluster:
        rows: list[Row] = []
        for database in WRITERS:
            for name, group in (("log_appends", GROUP), ("log_appends_single", 1)):
                url = cluster.url(cluster.create()) if database == "postgres" else f"sqlite:///{Path(folder) / f'{name}.db'}"
                rate, lateness_s = measure(url, Path(folder) / "key.pem", WRITERS[database], group, seconds)
                rows += [
                    Row(f"{name}_{database}", rate, "packets/s", "limit", LIMITS[database]),
                    Row(f"{name}_{database}_lateness_p99", lateness_s, "s", "limit", LATENESS_S_MAX),
                ]
        return rows


def measure(url: str, key_path: Path, writers: int, group: int, seconds: float) -> tuple[float, float]:
    """Packets a second from the first to the last proof, and how late the proofs were (99th percentile). A packet with a later proof does not count."""
    store, key = Store.open(url), FileKey.load_or_create(key_path)
    log, stop = Log(store, key, SystemClock()), threading.Event()
    thread = threading.Thread(target=_take_in, args=(log, stop))
    thread.start()
    try:
        with multiprocessing.get_context("spawn").Pool(writers) as pool:
            pool.starmap(_ready, [(url,)] * writers)
            began = time.time() + 0.5
            sealed = pool.starmap(seal_until, [(url, str(key_path), f"bench_{number}", group, began, began + seconds) for number in range(writers)])
    finally:
        stop.set()
        thread.join()
    log.take_in()
    committed = {packet_id: at for one in sealed for packet_id, at in one}
    proven_at = _proven_at(store)
    store.close()
    lateness = sorted(proven_at[packet_id] - at for packet_id, at in committed.items())
    span_s = max(proven_at[packet_id] for packet_id in committed) - began
    return bisect_right(lateness, LATENESS_S_MAX) / span_s, lateness[int(len(lateness) * 0.99)]


def seal_until(url: str, key_path: str, environment: str, group: int, begins: float, ends: float) -> list[tuple[str, float]]:
    """Seal packets of one environment, some in each transaction; the ids, and when each was committed."""
    store, evidence, identifiers = Store.open(url), Evidence(FileKey.load(Path(key_path))), SystemIdentifiers()
    found: list[tuple[str, float]] = []
    time.sleep(max(0.0, begins - time.time()))
    while time.time() < ends:
        now = datetime.now(UTC)
        ids = [identifiers.new("evd", now + timedelta(microseconds=number)) for number in range(group)]
        with store.writing() as tx:
            for packet_id in ids:
                stream = f"environment/{environment}"
                evidence.seal(tx, packet_id=packet_id, kind="decision", stream=stream, subjects=_SUBJECTS, predicate=_PREDICATE, at=now)
        found += [(packet_id, time.time()) for packet_id in ids]
    store.close()
    return found


def _ready(url: str) -> None:
    Store.open(url).close()


def _take_in(log: Log, stop: threading.Event) -> None:
    while not stop.wait(TAKEN_IN_EVERY_S):
        log.take_in()


def _proven_at(store: Store) -> dict[str, float]:
    """By entry, when the first checkpoint that covers it was signed."""
    with store.reading() as tx:
        heads = tx.connection.execute(sa.select(log_checkpoints.c.size, log_checkpoints.c.at).order_by(log_checkpoints.c.size)).all()
        sizes, times = [head.size for head in heads], [parse_instant(head.at).timestamp() for head in heads]
        entries = tx.connection.execute(sa.select(log_entries.c.entry_id, log_entries.c.leaf_index).where(log_entries.c.kind == "packet"))
        return {entry.entry_id: times[bisect_left(sizes, entry.leaf_index + 1)] for entry in entries}


@contextmanager
def _cluster() -> Iterator[PostgresCluster]:
    found = binaries()
    if found is None:
        raise RuntimeError(f"PostgreSQL is not installed: {INSTALL}")
    cluster = PostgresCluster(found)
    try:
        yield cluster
    finally:
        cluster.stop()
