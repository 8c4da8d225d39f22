"""How the parts of a written history put their rows down: ids and times of a move, canonical text, blobs, audit entries, sealed packets."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import timedelta
from typing import Any, Final

from benchmarks.bulk import Bulk
from benchmarks.history_shape import Move, Shape, new_id
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.evidence.envelope import PAYLOAD_TYPE
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.statement import PREDICATES, STATEMENT_TYPE, Kind
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.evidence.tables import audit_entries, evidence_packets, evidence_subjects
from stella_pipelines.jobs.submission import run_id_of
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.store.tables import blobs, outbox

SEEDER: Final = Actor(name="bench", via="test")


def written(document: Any) -> str:
    """The canonical form of a document that has no fractions and no keys beyond ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class About:
    """The ids, digests and times of one move."""

    def __init__(self, move: Move, record: ReleaseRecord) -> None:
        assert record.digest is not None, "every release is finalized"
        self.move = move
        self.record = record
        self.environment = move.environment
        self.label = record.label
        self.release_digest = record.digest
        self.id = new_id("prm", move.at, move.number)
        self.evaluation = new_id("evl", move.at, move.number)
        self.decision = new_id("evd", move.at, move.number, "decision")
        self.deployment = new_id("dep", move.at, move.number)
        self.packet = new_id("evd", move.at, move.number, "deployment")
        self.plan = Digest.of(f"plan {move.number}".encode())
        self.artifacts = Digest.of(f"artifacts {move.number}".encode())
        self.requested, self.judged, self.ended = (format_instant(move.at + timedelta(seconds=seconds)) for seconds in (0, 1, 30))
        self.decided = move.state in ("deployed", "failed", "rejected")

    def targets(self, shape: Shape) -> list[str]:
        """Where it was deployed."""
        return shape.targets(self.move.product, self.move.stage)

    def run_id(self, kind: str) -> str:
        """The run that carried it out."""
        return run_id_of(kind, self.id, 1)


class Writing:
    """What every part of the story writes, and what it remembers about evidence."""

    def __init__(self, key: FileKey, bulk: Bulk) -> None:
        self._key = key
        self._bulk = bulk
        self._packets: Counter[str] = Counter()
        self._sealed_at: dict[str, str] = {}
        self._decision_digest = ""
        self._entered: dict[str, Digest] = {}

    def _blob(self, content: bytes, media_type: str, at: str) -> Digest:
        digest = Digest.of(content)
        self._bulk.add(blobs, {"digest": digest, "media_type": media_type, "size_bytes": len(content), "content": content, "created_at": at})
        return digest

    def _audit(self, action: str, subject: str, when: str, at: Any, *, row: dict[str, Any] | None, where: str | None = None, reason: str | None = None) -> None:
        """One entry; `row` is what stands in the table in the end, after the last entry of its subject. What it was before is made up."""
        before, after = self._entered.pop(subject, None), Digest.of(f"{action} {subject}".encode()) if row is None else row_digest(row)
        if row is None:
            self._entered[subject] = after
        entry = {"id": new_id("aud", at, action, subject), "at": when, "action": action, "subject": subject, "environment": where}
        entry |= {"before": before, "after": after, "reason": reason, "request_id": None}
        digest = Digest.of(written({**entry, "actor": SEEDER.document()}).encode())
        actor = {"actor_name": SEEDER.name, "actor_kind": SEEDER.kind, "actor_via": SEEDER.via}
        self._bulk.add(audit_entries, {**entry, **actor, "digest": digest})

    def _outbox(self, kind: str, about: About, at: str) -> None:
        payload = written({"environment": about.environment, "release": about.label})
        row = {"id": new_id("out", about.move.at, kind, about.move.number), "kind": kind, "subject": about.id, "attempt": 1, "payload": payload}
        row |= {"state": "submitted", "run_id": about.run_id(kind), "reason": None, "failures": 0, "retry_at": None, "created_at": at, "updated_at": at}
        self._bulk.add(outbox, row)

    def _seal(self, about: About, packet: str, kind: Kind, subjects: list[tuple[str, str]], predicate: dict[str, Any], at: str) -> None:
        self._packets[about.environment] += 1
        self._sealed_at[about.environment] = at
        seal = {"packet_id": packet, "stream": environment_stream(about.environment), "sequence": self._packets[about.environment], "sealed_at": at}
        named = [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}} for name, digest in subjects]
        statement = {"_type": STATEMENT_TYPE, "subject": named, "predicateType": PREDICATES[kind], "predicate": {**predicate, "seal": seal}}
        envelope = sealed(written(statement).encode(), self._key)
        digest = Digest.of(envelope)
        if kind == "decision":
            self._decision_digest = digest
        row = {"id": packet, "kind": kind, "stream": seal["stream"], "sequence": seal["sequence"], "digest": digest}
        self._bulk.add(evidence_packets, {**row, "key_id": self._key.key_id, "sealed_at": at, "envelope": envelope})
        for position, (name, subject) in enumerate(subjects):
            self._bulk.add(evidence_subjects, {"packet_id": packet, "position": position, "name": name, "digest": subject})


def sealed(payload: bytes, key: FileKey) -> bytes:
    """The envelope around a payload, with the bytes that `write_envelope` makes; a test compares the two."""
    pae = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    signature = {"keyid": key.key_id, "sig": base64.b64encode(key.sign(pae)).decode()}
    return written({"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": [signature]}).encode()
