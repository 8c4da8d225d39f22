"""An installation whose evidence grows old, for tests of retention: real promotions on simulated targets, and a clock that is set years ahead."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.environments.model import AllAtOnce
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.log.verifying import Head, LogReport, verify_log
from stella_pipelines.evidence.retention.proving import ProvenPurges
from stella_pipelines.evidence.retention.service import Retention
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.store.database import Store
from stella_pipelines.store.tables import blobs
from tests.simulation.installation import Installation, make_estate
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World
from tests.support.evidence import signing_key

DAYS: Final = 2555
ALICE, BOB = Actor(name="alice", via="test"), Actor(name="bob", via="test")


class Aging:
    """An installation, its log and its retention, on one clock."""

    def __init__(self, store: Store, days: int = DAYS, targets: int = 1) -> None:
        self.store = store
        self.clock = SimulatedClock()
        self.installation = Installation(store, self.clock, World(self.clock))
        self.installation.apply(make_estate(targets, AllAtOnce()))
        self.evidence = self.installation.evidence
        self.log = Log(store, signing_key(), self.clock)
        self.retention = Retention(store, self.evidence, self.log, self.clock, SystemIdentifiers(), retention_days=days, owner_store=self._own)

    def deploy(self, *versions: str) -> list[str]:
        """Releases of these versions, one after the other, a day between them; the ids of the deployments' packets."""
        found = []
        for version in versions:
            record = self.installation.deploy(self.installation.release(version))
            assert record.packet_id is not None
            found.append(record.packet_id)
            self.pass_days(1)
        self.log.take_in()
        return found

    def pass_days(self, days: float) -> None:
        """Time goes by; nothing happens."""
        self.clock.jump_s += timedelta(days=days).total_seconds()

    def ids(self, *kinds: str) -> list[str]:
        """The ids of the stored packets, oldest first, optionally of some kinds."""
        query = sa.select(evidence_packets.c.id).order_by(evidence_packets.c.sealed_at, evidence_packets.c.sequence, evidence_packets.c.id)
        return self.read(query.where(evidence_packets.c.kind.in_(kinds)) if kinds else query)

    def blobs(self) -> set[str]:
        """The digests of the stored blobs."""
        return set(self.read(sa.select(blobs.c.digest)))

    def read(self, query: Any) -> list[Any]:
        """The first column of a query's rows."""
        with self.store.reading() as tx:
            return list(tx.connection.execute(query).scalars())

    def verify(self) -> LogReport:
        """The whole log, with what is said of purges."""
        with self.log.reading() as (tx, newest):
            ring = self.evidence.keys(tx)
            return verify_log(tx, ring, Head(size=newest.size, root=newest.root), purges=ProvenPurges(ring))

    @contextlib.contextmanager
    def _own(self) -> Iterator[Store]:
        yield self.store
