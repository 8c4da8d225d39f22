"""What one packet tells of a release, in a small form that is kept until it is known which releases are asked about. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.meaning import release_of
from stella_pipelines.evidence.frames.reading import count, documents, inside, text, texts, time
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.evidence.verify import VerifiedPacket

_GATE, _REPORT = "gate/", "report/"


@dataclass(frozen=True, slots=True)
class Told:
    """A release that was finalized, a decision, an override, a deployment, a rollback or a drift."""

    kind: str
    packet_id: str
    packet_digest: Digest
    release_digest: Digest
    environment: str | None
    sequence: int
    at: datetime
    name: str | None = None
    verdict: str | None = None
    by: str | None = None
    detail: str | None = None
    approvers: tuple[str, ...] = ()
    gates: tuple[Digest, ...] = ()
    """What each gate gathered."""
    reports: tuple[tuple[str, Digest], ...] = ()
    """The reports that the gates read, by the names that they have among the inputs."""


def told_by(packet: VerifiedPacket) -> Told | None:
    """What a packet tells; None when it is about no release."""
    release, says = release_of(packet), _SAYS.get(packet.kind)
    if release is None or says is None:
        return None
    about = {
        "kind": packet.kind,
        "packet_id": packet.seal.packet_id,
        "packet_digest": packet.packet_digest,
        "release_digest": release,
        "environment": packet.seal.environment,
        "sequence": packet.seal.sequence,
        "at": packet.seal.sealed_at,
    }
    told = {name: value for name, value in says(packet.statement).items() if name != "at" or value is not None}
    return Told(**{**about, **told})


def _finalized(statement: Statement) -> dict[str, Any]:
    return {
        "at": time(inside(statement.predicate, "times"), "finalized_at"),
        "name": text(inside(statement.predicate, "release"), "label"),
        "by": text(inside(statement.predicate, "finalized_by"), "name"),
        "detail": ", ".join(text(component, "name") or "?" for component in documents(statement.predicate, "components")),
    }


def _decided(statement: Statement) -> dict[str, Any]:
    predicate = statement.predicate
    decision, inputs = inside(predicate, "decision"), statement.inputs
    return {
        "at": time(inside(predicate, "times"), "decided_at"),
        "name": text(decision, "promotion_id"),
        "verdict": text(decision, "outcome"),
        "by": text(inside(decision, "requested_by"), "name"),
        "detail": text(decision, "reason"),
        "approvers": texts(decision, "approvers"),
        "gates": tuple(one.digest for one in inputs if one.name.startswith(_GATE)),
        "reports": tuple((one.name, one.digest) for one in inputs if one.name.startswith(_REPORT)),
    }


def _deployed(statement: Statement) -> dict[str, Any]:
    record, failure = inside(statement.predicate, "deployment"), inside(statement.predicate, "failure")
    return {
        "at": time(record, "ended_at"),
        "name": text(record, "id"),
        "verdict": text(record, "state"),
        "by": text(inside(record, "actor"), "name"),
        "detail": text(failure, "what") or text(record, "reason") or text(record, "kind"),
    }


def _overruled(statement: Statement) -> dict[str, Any]:
    override, people = inside(statement.predicate, "override"), (inside(statement.predicate, name) for name in ("asked_by", "confirmed_by"))
    return {
        "at": time(inside(statement.predicate, "times"), "confirmed_at"),
        "name": text(override, "gate"),
        "verdict": text(override, "verdict"),
        "by": ", ".join(text(person, "name") or "?" for person in people),
        "detail": text(override, "reason"),
    }


def _drifted(statement: Statement) -> dict[str, Any]:
    counts = inside(statement.predicate, "counts")
    return {
        "at": time(inside(statement.predicate, "times"), "observed_at"),
        "name": text(inside(statement.predicate, "deployment"), "id"),
        "verdict": text(inside(statement.predicate, "drift"), "state"),
        "detail": f"{count(counts, 'components')} components on {count(counts, 'targets')} targets run something else",
    }


_SAYS: Final[Mapping[str, Callable[[Statement], dict[str, Any]]]] = {
    "release": _finalized,
    "decision": _decided,
    "deployment": _deployed,
    "rollback": _deployed,
    "override": _overruled,
    "drift": _drifted,
}
