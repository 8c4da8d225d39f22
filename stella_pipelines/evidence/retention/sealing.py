"""The sealed packet of one batch of a purge, in the caller's transaction: first what goes is told, then it goes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.words import as_words
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.errors import CheckpointMissing
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.genuine import require_signed
from stella_pipelines.evidence.retention.lists import LIST_INPUT, LIST_TYPE, PurgedList
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.streams import EXPORTS
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Transaction

CHECKPOINT_TYPE: Final = "text/plain"


@dataclass(frozen=True)
class Order:
    """Who purges, why, and by which plan: what every batch of a purge says."""

    actor: Actor
    reason: str
    plan: Digest
    retention_days: int
    sealed_before: datetime
    held: int


class Sealer:
    """Seals the batches of one purge."""

    def __init__(self, evidence: Evidence, identifiers: Identifiers, order: Order) -> None:
        self._evidence = evidence
        self._identifiers = identifiers
        self._order = order

    def seal(self, tx: Transaction, taken: PurgedList, bytes_taken: int, now: datetime) -> SealedPacket:
        """The packet of a batch with its list, its checkpoint and its audit entry."""
        checkpoint = heads.newest(tx)
        if checkpoint is None:
            raise CheckpointMissing("The log is empty.", next_step="'stella audit checkpoint' takes in what waits; then purge again.")
        require_signed(tx, checkpoint, self._evidence.keys(tx))
        listed = blobs.put(tx, taken.canonical(), LIST_TYPE, now)
        note = blobs.put(tx, checkpoint.note, CHECKPOINT_TYPE, now)
        packet = self._evidence.seal(
            tx,
            packet_id=self._identifiers.new("evd", now),
            kind="purge",
            stream=EXPORTS,
            subjects=[Subject(name=LIST_INPUT, digest=listed)],
            predicate=self._predicate(tx, taken, bytes_taken, listed, note, checkpoint, now),
            at=now,
        )
        self._enter(tx, packet, now)
        return packet

    def _predicate(
        self, tx: Transaction, taken: PurgedList, bytes_taken: int, listed: Digest, note: Digest, checkpoint: heads.StoredCheckpoint, now: datetime
    ) -> dict[str, Any]:
        order = self._order
        return {
            "purge": {
                "retention_days": order.retention_days,
                "plan": order.plan,
                "packets": len(taken.packets),
                "audit_entries": 0,
                "blobs": len(taken.blobs),
                "bytes": bytes_taken,
                "held": order.held,
                "log": {"origin": heads.known_origin(tx), "size": checkpoint.size, "root": base64.b64encode(checkpoint.root).decode()},
            },
            "purged_by": order.actor.document(),
            "reason": as_words(order.reason),
            "times": {"purged_at": format_instant(now), "sealed_before": format_instant(order.sealed_before)},
            "inputs": [{"name": LIST_INPUT, "digest": listed}, {"name": "checkpoint", "digest": note}],
        }

    def _enter(self, tx: Transaction, packet: SealedPacket, now: datetime) -> None:
        audit.record(
            tx,
            entry_id=self._identifiers.new("aud", now),
            at=now,
            actor=self._order.actor,
            action="evidence.purge",
            subject=f"purge/{packet.id}",
            after=packet.digest,
            reason=self._order.reason,
        )
