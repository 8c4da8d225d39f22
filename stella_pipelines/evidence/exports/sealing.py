"""An export is itself evidence: a packet says who took what out, and why, with the digest of the manifest, in one transaction with its audit entry."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.errors import EvidenceMissing
from stella_pipelines.evidence.exports.manifest import CHECKPOINT, MANIFEST, Summary
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.streams import EXPORTS
from stella_pipelines.store.database import Store, Transaction


def seal_export(
    store: Store,
    evidence: Evidence,
    *,
    packet_id: str,
    audit_id: str,
    actor: Actor,
    reason: str | None,
    summary: Summary,
    digests: dict[str, Digest],
    at: datetime,
) -> SealedPacket:
    """Seal the export under this id; what was sealed by a process that was killed right after it, is sealed. `digests`: of manifest and checkpoint."""
    with store.writing() as tx:
        try:
            return evidence.get(tx, packet_id)
        except EvidenceMissing:
            return _seal(tx, evidence, packet_id, audit_id, actor, reason, summary, digests, at)


def predicate_of(summary: Summary, digests: dict[str, Digest], actor: Actor, reason: str | None, at: datetime) -> dict[str, Any]:
    """What the packet says (`predicates/audit-export-v1.schema.json`). Pure."""
    return {
        "export": {
            "question": summary.question.document(),
            "packets": summary.counts.packets,
            "audit_entries": summary.counts.audit,
            "log": summary.log.document(),
        },
        "exported_by": actor.document(),
        **({} if reason is None else {"reason": reason}),
        "times": {"exported_at": format_instant(at)},
        "inputs": [{"name": "index", "digest": digests[MANIFEST]}, {"name": "checkpoint", "digest": digests[CHECKPOINT]}],
    }


def _seal(
    tx: Transaction,
    evidence: Evidence,
    packet_id: str,
    audit_id: str,
    actor: Actor,
    reason: str | None,
    summary: Summary,
    digests: dict[str, Digest],
    at: datetime,
) -> SealedPacket:
    packet = evidence.seal(
        tx,
        packet_id=packet_id,
        kind="audit-export",
        stream=EXPORTS,
        subjects=[Subject(name=MANIFEST, digest=digests[MANIFEST])],
        predicate=predicate_of(summary, digests, actor, reason, at),
        at=at,
    )
    audit.record(
        tx,
        entry_id=audit_id,
        at=at,
        actor=actor,
        action="evidence.export",
        subject=f"export/{packet_id}",
        environment=summary.question.environment,
        after=digests[MANIFEST],
        reason=reason,
    )
    return packet
