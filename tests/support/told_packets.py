"""Verified packets made by hand: what somebody's installation might have sealed, without an installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.statement import Kind, Seal, Subject, make_statement
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from tests.support.evidence import NOW, signing_key


def at(hours: float) -> datetime:
    """A time of the story."""
    return NOW + timedelta(hours=hours)


def some(text: str) -> Digest:
    """A digest to tell things apart by."""
    return Digest.of(text.encode())


def packet(kind: Kind, stream: str, sequence: int, predicate: Mapping[str, Any], subjects: Sequence[Subject] = (), sealed_at: datetime = NOW) -> VerifiedPacket:
    """A packet with this predicate, sealed and verified."""
    seal = Seal(packet_id=f"evd_{stream.replace('/', '_')}_{sequence}", stream=stream, sequence=sequence, sealed_at=sealed_at)
    about = subjects or (Subject(name="something", digest=some("something")),)
    key = signing_key()
    return verify_packet(write_envelope(make_statement(kind, about, {"inputs": [], **predicate}, seal).canonical(), key), [key.public_pem])


def deployment(
    sequence: int,
    release: str,
    targets: Mapping[str, tuple[str, Mapping[str, str | None]]] | None,
    images: Sequence[str] = (),
    *,
    kind: str = "promotion",
    state: str = "succeeded",
    environment: str = "prod",
    inputs: Sequence[Mapping[str, str]] = (),
) -> VerifiedPacket:
    """The packet of a deployment that took half an hour and ended at the hour `sequence`. Targets: their state, and the images that they showed."""
    began, ended = at(sequence - 0.5), at(sequence)
    record = {
        "id": f"dep_{sequence}",
        "sequence": sequence,
        "kind": kind,
        "state": state,
        "release_digest": some(release),
        "started_at": format_instant(began),
        "ended_at": format_instant(ended),
        "attempt": 1,
        "actor": {"name": "alice", "kind": "human", "via": "cli"},
        "reason": "",
    }
    lines = None if targets is None else [line(name, *told) for name, told in targets.items()]
    predicate = {"deployment": record, "release": {"label": release, "digest": some(release)}, "targets": lines, "inputs": [dict(one) for one in inputs]}
    subjects = [
        Subject(name=f"release/{release}", digest=some(release)),
        *(Subject(name=f"image/shop/{name}@{some(name)}", digest=some(name)) for name in images),
    ]
    packet_kind: Kind = "rollback" if kind == "rollback" or state == "rolled_back" else "deployment"
    return packet(packet_kind, environment_stream(environment), sequence, predicate, subjects, ended)


def line(target: str, state: str, shown: Mapping[str, str | None]) -> dict[str, Any]:
    """A target's line."""
    return {"target": target, "state": state, "observed": {name: some(image) if image else None for name, image in shown.items()}, "failure": None}


def drift(sequence: int, release: str, findings: Mapping[tuple[str, str], tuple[str, str | None]], environment: str = "prod") -> VerifiedPacket:
    """The packet of a look at the hour `sequence`. Findings: by target and component, what was wanted and what ran."""
    seen = format_instant(at(sequence))
    found = [
        {"target": target, "component": component, "wanted": some(wanted), "observed": some(ran) if ran else None, "running": ran is not None, "found_at": seen}
        for (target, component), (wanted, ran) in findings.items()
    ]
    predicate = {
        "drift": {"state": "found" if found else "over", "environment": environment},
        "deployment": {"id": "dep", "packet_id": "evd"},
        "release": {"label": release, "digest": some(release)},
        "counts": {"components": len(found), "targets": len(found), "unknown_targets": 0},
        "findings": found,
        "times": {"observed_at": seen, "began_at": seen},
    }
    return packet("drift", environment_stream(environment), sequence, predicate, [Subject(name=f"release/{release}", digest=some(release))], at(sequence))
