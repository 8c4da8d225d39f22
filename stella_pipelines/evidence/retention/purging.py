"""Carries out a plan, page by page. One page is one transaction: what goes is sealed, entered and deleted, or nothing of it happens.

So a purge that is killed leaves whole pages, and the same plan goes on where it stopped. Each page is judged again inside its transaction, where
holds cannot change; if what goes is not what was planned, the purge stops there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from stella_pipelines.core.clock import Clock, format_instant
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.retention import holds, leaving
from stella_pipelines.evidence.retention.candidates import digests_in
from stella_pipelines.evidence.retention.errors import PlanChanged
from stella_pipelines.evidence.retention.lists import list_of
from stella_pipelines.evidence.retention.planning import Judge, Page, Planned, digest_of
from stella_pipelines.evidence.retention.sealing import Order, Sealer
from stella_pipelines.evidence.retention.selecting import Old
from stella_pipelines.evidence.retention.tables import evidence_purged
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.tables import evidence_packets, evidence_subjects
from stella_pipelines.store.database import Store, Transaction


class Purging:
    """One purge. `packets`, `bytes` and `purge_packets` count what it did so far."""

    def __init__(self, store: Store, evidence: Evidence, sealer: Sealer, clock: Clock, order: Order) -> None:
        self._store = store
        self._evidence = evidence
        self._sealer = sealer
        self._clock = clock
        self._order = order
        self.packets = 0
        self.bytes = 0
        self.purge_packets: list[str] = []

    def take(self, planned: Planned, page: Page) -> None:
        """Purge one page of a plan."""
        with self._store.writing() as tx:
            holds.lock(tx)
            going = self._as_planned(tx, planned, page)
            size = sum(one.candidate.bytes for one in going)
            packet = self._sealer.seal(tx, list_of(going), size, self._clock.now())
            self._delete(tx, going, packet)
        self.packets += len(going)
        self.bytes += size
        self.purge_packets.append(packet.id)

    def _as_planned(self, tx: Transaction, planned: Planned, page: Page) -> list[Old]:
        judge = Judge(tx, self._evidence.keys(tx), self._order.sealed_before)
        going = judge.going(page)
        if judge.hold_events != planned.hold_events or digest_of(going) != page.digest:
            raise PlanChanged(
                "Holds or packets changed while the purge was under way, and it stopped.",
                next_step="Look at 'stella evidence purge --dry-run' again.",
            )
        return going

    def _delete(self, tx: Transaction, going: Sequence[Old], packet: SealedPacket) -> None:
        ids = [one.candidate.id for one in going]
        at = self._clock.now()
        leaving.mark(tx, _named(tx, ids), self._order.sealed_before, at)
        shared = {"purge_packet_id": packet.id, "plan": self._order.plan, "purged_by": self._order.actor.name, "purged_at": format_instant(at)}
        tx.connection.execute(sa.insert(evidence_purged), [_row(one) | shared for one in going])
        tx.connection.execute(sa.delete(evidence_subjects).where(evidence_subjects.c.packet_id.in_(ids)))
        tx.connection.execute(sa.delete(evidence_packets).where(evidence_packets.c.id.in_(ids)))


def _named(tx: Transaction, ids: Sequence[str]) -> set[str]:
    """What the packets name; one envelope in memory at a time."""
    found: set[str] = set()
    for packet_id in ids:
        envelope = tx.connection.execute(sa.select(evidence_packets.c.envelope).where(evidence_packets.c.id == packet_id)).scalar_one()
        found |= digests_in(read_envelope(bytes(envelope)).payload)
    return found


def _row(old: Old) -> dict[str, Any]:
    one = old.candidate
    return {
        "packet_id": one.id,
        "content": one.content,
        "kind": one.kind,
        "stream": one.stream,
        "sequence": one.sequence,
        "sealed_at": format_instant(one.sealed_at),
    }
