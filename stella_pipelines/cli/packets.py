"""What a packet tells in a few words: what was decided, where, when, about which release, and by whom. Pure.

Reads the predicates of every kind. A packet may come from elsewhere: what it does not say is shown as absent, and never guessed.
"""

from __future__ import annotations

import json
from typing import Any, Final

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import Words
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.verify import VerifiedPacket

_DONE: Final = {"finalized_by": "finalized", "override": "overridden", "export": "exported", "purge": "purged"}
"""What was done, by the member that only such a packet has."""
_BY: Final = ("finalized_by", "asked_by", "confirmed_by", "exported_by", "purged_by")


class PacketWords(Value):
    """A verified packet in short. `actors`: who asked or acted, and who approved or confirmed."""

    outcome: Words | None
    kind: str
    stream: str
    environment: str | None
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
        stream=seal.stream,
        environment=seal.environment,
        sequence=seal.sequence,
        sealed_at=seal.sealed_at,
        release=_release(packet),
        actors=_actors(predicate),
    )


def outcome_of(packet: SealedPacket) -> str:
    """What a stored packet says that came out, for a list. Nothing is verified here; `evidence show` and `verify` do that."""
    try:
        predicate = json.loads(read_envelope(packet.envelope).payload).get("predicate")
    except (StellaError, ValueError, AttributeError):
        return "unreadable"
    return _outcome(predicate) or "–"


def _release(packet: VerifiedPacket) -> str | None:
    predicate = packet.statement.predicate
    named = _text(predicate, "decision", "release", "name") or _text(predicate, "release", "label") or _text(predicate, "release", "name")
    return packet.statement.subject[0].name if packet.kind == "summary" else named


def _outcome(predicate: Any) -> str | None:
    """How it ended, in one word. A deployment carries its decision too, so its state goes first."""
    said = _text(predicate, "deployment", "state") or _text(predicate, "drift", "state") or _text(predicate, "decision", "outcome")
    return said or _verified(predicate) or next((word for member, word in _DONE.items() if _at(predicate, member) is not None), None)


def _verified(predicate: Any) -> str | None:
    result = _text(predicate, "verificationResult")
    return None if result is None else result.lower()


def _actors(predicate: Any) -> tuple[str, ...]:
    asked = _text(predicate, "deployment", "actor", "name") or _text(predicate, "decision", "requested_by", "name")
    approvers = _at(predicate, "decision", "approvers")
    names = [asked, *(approvers if isinstance(approvers, list) else []), *(_text(predicate, member, "name") for member in _BY)]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _text(value: Any, *path: str) -> str | None:
    found = _at(value, *path)
    return found if isinstance(found, str) else None


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
