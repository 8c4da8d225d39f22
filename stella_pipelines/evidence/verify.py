"""Verification of one packet with nothing but its bytes and public keys. Pure: no database, no network, no clock, no files.

The order of the checks, each of which refuses:

1. the size, before anything else;
2. the envelope's exact form (`envelope.py`), which bounds the work on hostile bytes;
3. every signature: by a key that was given and counts, and valid. One unknown key refuses the packet, or its signature could be changed unseen;
4. only then the payload: JSON without duplicate keys, of bounded depth, in RFC 8785 bytes;
5. the statement: in-toto v1, a kind that is known here, with version, inputs and seal.

A verified packet is genuine and complete in itself. Whether packets are missing between two of them shows in their seals' sequence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from stella_pipelines.core.canonical import NotCanonical, canonical_json, parse_canonical
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.errors import KindUnknown, PacketMalformed, PacketNotCanonical
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.statement import DEPTH_MAX, SEAL_KEY, Kind, Seal, Statement, is_too_deep

_MEMBERS: Final = {"_type", "subject", "predicateType", "predicate"}


class VerifiedPacket(Value):
    """A packet whose every byte was checked."""

    statement: Statement
    kind: Kind
    seal: Seal
    key_id: str
    """The first signer's key."""
    packet_digest: Digest


def verify_packet(envelope_bytes: bytes, keys: KeyRing | Sequence[bytes], *, log_index: int | None = None) -> VerifiedPacket:
    """The packet, if every check passes; otherwise exactly one EVID_ error. Who verifies many packets makes the ring once.

    `log_index`: where the packet is proven to stand in the log, which is what a packet by a revoked key needs.
    """
    ring = keys if isinstance(keys, KeyRing) else KeyRing.of(keys)
    envelope = read_envelope(envelope_bytes)
    # Not Envelope.verify: it passes over signatures by unknown keys, and stops at the first valid one.
    content = envelope.pae()
    for key_id, signature in envelope.signatures.items():
        ring.require(key_id, log_index).verify(bytes.fromhex(signature.signature), content)
    statement = _read_statement(envelope.payload)
    kind = statement.kind
    if kind is None:
        raise KindUnknown(f"The packet's predicate type {statement.predicate_type[:200]!r} is not known here.")
    return VerifiedPacket(
        statement=statement, kind=kind, seal=_seal_of(statement), key_id=next(iter(envelope.signatures)), packet_digest=Digest.of(envelope_bytes)
    )


def _read_statement(payload: bytes) -> Statement:
    try:
        document = parse_canonical(payload)
    except NotCanonical as error:
        raise _why_not_canonical(payload) from error
    if not _is_flat(payload) and is_too_deep(document):
        raise PacketMalformed("The packet's payload has too many levels.")
    try:
        statement = Statement.model_validate(document)
    except ValidationError as error:
        raise PacketMalformed("The packet's payload is not an in-toto statement v1 of the expected form.") from error
    if not _is_exact(statement, document):
        raise PacketMalformed("The packet's payload is not an in-toto statement v1 in its own form.")
    return statement


def _is_flat(payload: bytes) -> bool:
    """Whether there are too few brackets for many levels, which spares most packets a walk."""
    return payload.count(b"{") + payload.count(b"[") <= DEPTH_MAX


def _is_exact(statement: Statement, document: Any) -> bool:
    """Whether this is the spelling that the model writes, and not just one that it reads. The predicate is kept as it stands."""
    subjects = [{"name": one.name, "digest": {"sha256": one.digest.hex}} for one in statement.subject]
    return bool(document.keys() == _MEMBERS and document["subject"] == subjects)


def _why_not_canonical(payload: bytes) -> PacketMalformed | PacketNotCanonical:
    try:
        document = json.loads(payload.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        canonical_json(document)
    except (ValueError, RecursionError, NotCanonical):
        return PacketMalformed("The packet's payload is not plain JSON.")
    if is_too_deep(document):
        return PacketMalformed("The packet's payload has too many levels.")
    return PacketNotCanonical("The packet's payload is not in canonical JSON.")


def _seal_of(statement: Statement) -> Seal:
    try:
        seal, _ = statement.seal, statement.inputs
    except (ValidationError, KeyError) as error:
        raise PacketMalformed("The packet's predicate lacks its version, its inputs or its seal.") from error
    if seal.document() != statement.predicate[SEAL_KEY]:  # a time in another zone's spelling would be another text for the same place
        raise PacketMalformed("The packet's seal is not written in its own form.")
    return seal


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
