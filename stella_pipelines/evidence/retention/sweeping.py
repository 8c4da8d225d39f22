"""Takes away the blobs that purged packets named and nothing names any more: sealed and deleted in batches, like packets.

It goes on from the marks (`leaving.py`), which outlive a crash. A blob that goes may have been the last to name others: they are marked, and the
next round looks at them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.retention import holds, leaving
from stella_pipelines.evidence.retention.errors import PlanChanged
from stella_pipelines.evidence.retention.lists import PurgedBlob, PurgedList
from stella_pipelines.evidence.retention.naming import names_in, unneeded
from stella_pipelines.evidence.retention.sealing import Order, Sealer
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.tables import blobs

_BLOBS_A_BATCH: Final = 500


class Sweeping:
    """The second half of a purge. `blobs`, `bytes` and `purge_packets` count what it did so far."""

    def __init__(self, store: Store, sealer: Sealer, clock: Clock, order: Order) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._order = order
        self.blobs = 0
        self.bytes = 0
        self.purge_packets: list[str] = []

    def sweep(self) -> None:
        """Until no blob bears a mark: each either goes, or somebody needs it and the mark does."""
        while True:
            with self._store.writing() as tx:
                leaving.settle(tx)
            with self._store.reading() as tx:
                marked, events = leaving.marked(tx), holds.count_events(tx)
                if not marked:
                    return
                free = unneeded(tx, marked)
            with self._store.writing() as tx:
                leaving.unmark(tx, marked - free)
            going = sorted(free)
            for start in range(0, len(going), _BLOBS_A_BATCH):
                self._take(going[start : start + _BLOBS_A_BATCH], events)

    def _take(self, hexes: Collection[str], hold_events: int) -> None:
        with self._store.writing() as tx:
            holds.lock(tx)
            if holds.count_events(tx) != hold_events:
                raise PlanChanged(
                    "A legal hold was placed or lifted while blobs were looked at, and the purge stopped.",
                    next_step="Run 'stella evidence purge' again; it goes on where it stopped.",
                )
            going = leaving.still_marked(tx, hexes)
            if not going:
                return
            taken = PurgedList(blobs=tuple(PurgedBlob(digest=Digest(digest), media_type=media_type, bytes=size) for digest, media_type, size in going))
            size = sum(one.bytes for one in taken.blobs)
            packet = self._sealer.seal(tx, taken, size, self._clock.now())
            self._delete(tx, [one.digest for one in taken.blobs])
        self.blobs += len(going)
        self.bytes += size
        self.purge_packets.append(packet.id)

    def _delete(self, tx: Transaction, digests: list[Digest]) -> None:
        named: set[str] = set()
        for digest in digests:
            content = tx.connection.execute(sa.select(blobs.c.content).where(blobs.c.digest == digest)).scalar_one()
            named |= names_in(bytes(content))
        tx.connection.execute(sa.delete(blobs).where(blobs.c.digest.in_(digests)))
        leaving.unmark(tx, {digest.hex for digest in digests})
        leaving.mark(tx, named, self._order.sealed_before, self._clock.now())
