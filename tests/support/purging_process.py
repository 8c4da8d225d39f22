"""Many old packets, and purges of them in processes of their own: to be killed, or measured. Importable, so that a spawned interpreter finds it."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.retention.service import PurgeReport, Retention
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from tests.support.evidence import NOW, PREDICATE, RELEASE, signing_key

LATER: Final = datetime(2036, 1, 1, 9, 0, tzinfo=UTC)
ALICE: Final = Actor(name="alice", via="test")
_A_TRANSACTION: Final = 500


class LaterClock:
    """Ten years later."""

    def now(self) -> datetime:
        return LATER


def fill(store: Store, packets: int) -> None:
    """So many decisions, each with an input of its own, all in the log; then the retention goes by."""
    key = signing_key()
    evidence, ids = Evidence(key), SystemIdentifiers()
    for start in range(0, packets, _A_TRANSACTION):
        with store.writing() as tx:
            for number in range(start, min(start + _A_TRANSACTION, packets)):
                own = blobs.put(tx, f'{{"input":{number}}}'.encode(), "application/json", NOW)
                predicate = {**PREDICATE, "inputs": [{"name": "gate/own", "digest": own}]}
                evidence.seal(tx, packet_id=ids.new("evd", NOW), kind="decision", stream="environment/prod", subjects=[RELEASE], predicate=predicate, at=NOW)
    Log(store, key, LaterClock()).take_in()


def retention(store: Store) -> Retention:
    """The retention of such a store."""

    @contextlib.contextmanager
    def own() -> Iterator[Store]:
        yield store

    key = signing_key()
    log = Log(store, key, LaterClock())
    return Retention(store, Evidence(key), log, LaterClock(), SystemIdentifiers(), retention_days=2555, owner_store=own)


def purge(url: str, agreed: str | None = None) -> PurgeReport:
    """Purge what is old."""
    with contextlib.closing(Store.open(url)) as store:
        return retention(store).purge(ALICE, "test", agreed=None if agreed is None else Digest(agreed))


def measured_purge(url: str) -> tuple[PurgeReport, float, int]:
    """The report, the CPU time in seconds, and by how many bytes the process grew."""
    with contextlib.closing(Store.open(url)) as store:
        found = retention(store)
        found.plan(before=NOW)  # so that everything is imported and every cache filled
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        report = found.purge(ALICE, "test")
        return report, time.process_time() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
