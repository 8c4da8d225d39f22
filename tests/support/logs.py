"""Logs for tests: packets and audit entries that were written, and their log with its checkpoints."""

from __future__ import annotations

from datetime import datetime

from stella_pipelines.core.actor import Actor
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.keys.book import key_in_force
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.log.heads import StoredCheckpoint
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.store.database import Store
from tests.support.evidence import NOW, PREDICATE, RELEASE, signing_key

ALICE = Actor(name="alice", via="test")


class StoppedClock:
    """Always the same time."""

    def now(self) -> datetime:
        return NOW


class SmallLog:
    """A store with a log, and short words for what is written to it."""

    def __init__(self, store: Store, seed: int = 1, batch_max: int = 1000, key: FileKey | None = None) -> None:
        self.store = store
        self.key = key or signing_key(seed)
        self.evidence = Evidence(self.key)
        self.log = Log(store, self.key, StoppedClock(), batch_max)
        self._count = 0
        with store.writing() as tx:
            key_in_force(tx, self.key, NOW)
        self.log.take_in()  # the first use of the key is an audit entry; it stands at 0, so that what a test writes begins at 1

    def seal(self, *environments: str) -> list[str]:
        """A packet of each of these environments, in one transaction."""
        with self.store.writing() as tx:
            ids = [self._next("evd") for _ in environments]
            for packet_id, name in zip(ids, environments, strict=True):
                stream = f"environment/{name}"
                self.evidence.seal(tx, packet_id=packet_id, kind="decision", stream=stream, subjects=[RELEASE], predicate=PREDICATE, at=NOW)
        return ids

    def note(self, count: int = 1) -> list[str]:
        """So many audit entries, in one transaction."""
        with self.store.writing() as tx:
            ids = [self._next("aud") for _ in range(count)]
            for entry_id in ids:
                audit.record(tx, entry_id=entry_id, at=NOW, actor=ALICE, action="test.noted", subject="something")
        return ids

    def take_in(self) -> StoredCheckpoint:
        """Everything that waits; the new checkpoint."""
        head = self.log.take_in()
        assert head is not None
        return head

    def _next(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count:06}"
