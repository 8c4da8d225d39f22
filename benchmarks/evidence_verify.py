"""`evidence_verify`: packets a second of an export of 100,000, next to the bare signature checks of `cryptography` on the same packets' bytes.

Verifying is everything that `stella evidence verify-export` does: signatures, canonical form, statements, places in the log, no gaps, digests of all
members. Both figures are of one core, in processor time, so that a busy machine does not disturb their ratio.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from securesystemslib.dsse import Envelope

from benchmarks.bulk import Bulk
from benchmarks.history_writing import sealed, written
from benchmarks.row import Row
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import identifier
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.envelope import PAYLOAD_TYPE, read_envelope
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.exports.verifying import verify_export
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.keys.public import load_public_key
from stella_pipelines.evidence.statement import PREDICATES, STATEMENT_TYPE
from stella_pipelines.evidence.tables import evidence_heads, evidence_packets, evidence_subjects

PACKETS: Final = 100_000
ENVIRONMENTS: Final = ("dev", "staging", "prod", "prod_eu")
RAW_CHECKS: Final = 20_000
BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
ACTOR: Final = Actor(name="bench", via="test")


def evidence_verify(packets: int = PACKETS, raw_checks: int = RAW_CHECKS) -> list[Row]:
    """Write the packets, export all of them, and verify the file."""
    with tempfile.TemporaryDirectory(prefix="stella-verify-") as folder:
        home, target = Path(folder) / "home", Path(folder) / "all.zip"
        with open_control_plane(Settings(home=home, database_url=f"sqlite:///{home / 'stella.db'}")) as plane:
            key = FileKey.load(plane.settings.signing_key_path)
            envelope = write_packets(plane, key, packets)
            plane.exports.export(ACTOR, Question(), target, _unseen, artifacts=False, tables=False)
        trust = Trust.of([key.public_pem])
        rate = packets / _cpu_s(lambda: verify_export(target, trust))
        return [Row("evidence_verify", rate, "packets/s", "bare signature checks", _raw_rate(envelope, key.public_pem, raw_checks))]


def write_packets(plane: ControlPlane, key: FileKey, count: int) -> bytes:
    """So many decisions in some environments, as sealing would write them; one of their envelopes."""
    with plane.store.writing() as tx:
        bulk = Bulk(tx.connection, (evidence_packets, evidence_subjects, evidence_heads))
        for number in range(count):
            envelope = _write(bulk, key, number)
            bulk.flush(full_only=True)
        for place, environment in enumerate(ENVIRONMENTS):
            newest = {"stream": f"environment/{environment}", "sequence": len(range(place, count, len(ENVIRONMENTS)))}
            bulk.add(evidence_heads, {**newest, "newest_at": format_instant(_at(count)), "newest_before": format_instant(_at(count))})
        bulk.flush()
    plane.log.take_in()
    return envelope


def _write(bulk: Bulk, key: FileKey, number: int) -> bytes:
    sequence, place = divmod(number, len(ENVIRONMENTS))
    at, environment = format_instant(_at(number)), ENVIRONMENTS[place]
    packet_id = identifier("evd", _at(number), number.to_bytes(10))
    seal = {"packet_id": packet_id, "stream": f"environment/{environment}", "sequence": sequence + 1, "sealed_at": at}
    release = Digest.of(f"release {number // 40}".encode())
    subjects = [("shop-1.0", release), ("registry.example/shop/web", Digest.of(b"web")), ("registry.example/shop/api", Digest.of(b"api"))]
    named = [{"name": name, "digest": {"sha256": digest.hex}} for name, digest in subjects]
    predicate = {**_decision(environment, release, number, at), "seal": seal}
    envelope = sealed(written({"_type": STATEMENT_TYPE, "subject": named, "predicateType": PREDICATES["decision"], "predicate": predicate}).encode(), key)
    row = {"id": packet_id, "kind": "decision", "stream": seal["stream"], "sequence": sequence + 1, "digest": Digest.of(envelope), "key_id": key.key_id}
    bulk.add(evidence_packets, {**row, "sealed_at": at, "envelope": envelope})
    for position, (name, digest) in enumerate(subjects):
        bulk.add(evidence_subjects, {"packet_id": packet_id, "position": position, "name": name, "digest": digest})
    return envelope


def _decision(environment: str, release: Digest, number: int, at: str) -> dict[str, Any]:
    """A decision of four gates: about 4 kB as an envelope, like those of a usual estate."""
    gates = [
        {
            "inputs": Digest.of(f"{name} {number}".encode()),
            "kind": name,
            "name": name,
            "reasons": [f"The gate {name} has nothing against it: every input is there and says so."],
            "verdict": "allow",
            "wait_until": None,
            "would_change": [],
        }
        for name in ("approval", "freeze", "policy", "security")
    ]
    decision = {
        "approvers": ["ann", "bob"],
        "attempt": 1,
        "environment": environment,
        "evaluation_id": identifier("evl", _at(number), number.to_bytes(10)),
        "gates": gates,
        "notes": [],
        "outcome": "allow",
        "plan_digest": Digest.of(f"plan {number}".encode()),
        "policies": [],
        "promotion_id": identifier("prm", _at(number), number.to_bytes(10)),
        "reason": "weekly release",
        "release": {"digest": release, "name": "shop-1.0"},
        "requested_by": ACTOR.document(),
        "rules": "stella-rules/1",
        "ungated": False,
    }
    inputs = [{"digest": gate["inputs"], "name": f"gate/{gate['name']}"} for gate in gates]
    times = {"begun_at": at, "decided_at": at, "requested_at": at}
    return {"decision": decision, "inputs": inputs, "stella": {"version": 1}, "times": times}


def _raw_rate(envelope: bytes, pem: bytes, checks: int) -> float:
    """Signature checks a second of one packet's bytes, with the library's own function."""
    read = read_envelope(envelope)
    key, content = load_public_key(pem), Envelope(read.payload, PAYLOAD_TYPE, {}).pae()
    signature = bytes.fromhex(next(iter(read.signatures.values())).signature)
    verify = key._key.verify

    def check() -> None:
        for _ in range(checks):
            verify(signature, content)  # type: ignore[call-arg]  # an Ed25519 key

    return checks / _cpu_s(check)


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _at(number: int) -> datetime:
    return BEGAN + timedelta(seconds=number)


@contextmanager
def _unseen(what: str, total: int) -> Iterator[Callable[[int], None]]:
    del what, total

    def counted(done: int) -> None:
        del done

    yield counted
