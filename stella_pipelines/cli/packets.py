"""What a packet tells in a few words: what was decided, where, when, about which release, and by whom. Pure.

Reads the predicates of decisions and deployments. A packet may come from elsewhere: what it does not say is shown as absent, and never guessed.
"""

from __future__ import annotations

import json
from typing import Any

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import Words
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.verify import VerifiedPacket


class PacketWords(Value):
    """A verified packet in short. `actors`: who asked, and who approved."""

    outcome: Words | None
    kind: str
    environment: str
    sequence: int
    sealed_at: Instant
    release: Words | None
    actors: tuple[Words, ...]


def in_words(packet: VerifiedPacket) -> PacketWords:
    """The packet in short."""
    predicate, seal = packet.statement.predicate, packet.seal
    return PacketWords(
        outcome=_outcome(predicate),
        kind=packet.kind,
        environment=seal.environment,
        sequence=seal.sequence,
        sealed_at=seal.sealed_at,
        release=_text(predicate, "decision", "release", "name") or _text(predicate, "release", "label"),
        actors=_actors(predicate),
    )


def outcome_of(packet: SealedPacket) -> str:
    """What a stored packet says that came out, for a list. Nothing is verified here; `evidence show` and `verify` do that."""
    try:
        predicate = json.loads(read_envelope(packet.envelope).payload).get("predicate")
    except (StellaError, ValueError, AttributeError):
        return "unreadable"
    return _outcome(predicate) or "–"


def _outcome(predicate: Any) -> str | None:
    """`allow` or `deny` of a decision; of a deployment the state in which it ended. A deployment carries its decision too, so its state goes first."""
    return _text(predicate, "deployment", "state") or _text(predicate, "decision", "outcome")


def _actors(predicate: Any) -> tuple[str, ...]:
    asked = _text(predicate, "deployment", "actor", "name") or _text(predicate, "decision", "requested_by", "name")
    approvers = _at(predicate, "decision", "approvers")
    names = [asked, *(approvers if isinstance(approvers, list) else [])]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _text(value: Any, *path: str) -> str | None:
    found = _at(value, *path)
    return found if isinstance(found, str) else None


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
