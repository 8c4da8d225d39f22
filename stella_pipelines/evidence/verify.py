"""Verification of one packet with nothing but its bytes and public keys. Pure: no database, no network, no clock, no files.

The order of the checks, each of which refuses:

1. the size, before anything else;
2. the envelope's exact form (`envelope.py`), which bounds the work on hostile bytes;
3. every signature: by a key that was given, and valid. One unknown key refuses the packet, or its signature could be changed unseen;
4. only then the payload: JSON without duplicate keys, of bounded depth, in RFC 8785 bytes;
5. the statement: in-toto v1, a kind that is known here, with version, inputs and seal.

A verified packet is genuine and complete in itself. Whether packets are missing between two of them shows in their seals' sequence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # public there, but re-exported without saying so

from stella_pipelines.core.canonical import NotCanonical, canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.errors import KeyUnknown, KindUnknown, PacketMalformed, PacketNotCanonical, SignatureInvalid
from stella_pipelines.evidence.public_keys import key_id_of, load_public_key
from stella_pipelines.evidence.statement import Kind, Seal, Statement, is_too_deep


class VerifiedPacket(Value):
    """A packet whose every byte was checked."""

    statement: Statement
    kind: Kind
    seal: Seal
    key_id: str
    """The first signer's key."""
    packet_digest: Digest


def verify_packet(envelope_bytes: bytes, public_keys: Sequence[bytes]) -> VerifiedPacket:
    """The packet, if every check passes; otherwise exactly one EVID_ error."""
    envelope = read_envelope(envelope_bytes)
    _check_signatures(envelope, _keys_by_id(public_keys))
    statement = _read_statement(envelope.payload)
    kind = statement.kind
    if kind is None:
        raise KindUnknown(f"The packet's predicate type {statement.predicate_type[:200]!r} is not known here.")
    return VerifiedPacket(
        statement=statement, kind=kind, seal=_seal_of(statement), key_id=next(iter(envelope.signatures)), packet_digest=Digest.of(envelope_bytes)
    )


def _keys_by_id(public_keys: Sequence[bytes]) -> dict[str, SSlibKey]:
    loaded = [load_public_key(pem) for pem in public_keys]
    return {key_id_of(key): SSlibKey.from_crypto(key, keyid=key_id_of(key)) for key in loaded}


def _check_signatures(envelope: Envelope, keys: dict[str, SSlibKey]) -> None:
    # Not Envelope.verify: it passes over signatures by unknown keys, and stops at the first valid one.
    for key_id, signature in envelope.signatures.items():
        if key_id not in keys:
            raise KeyUnknown(f"The packet is signed by the key {key_id}, which was not given.")
        try:
            keys[key_id].verify_signature(signature, envelope.pae())
        except UnverifiedSignatureError as error:
            raise SignatureInvalid(f"The signature by the key {key_id} does not fit the packet's bytes.") from error


def _read_statement(payload: bytes) -> Statement:
    try:
        document = json.loads(payload.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        canonical = canonical_json(document)
    except (ValueError, RecursionError, NotCanonical) as error:
        raise PacketMalformed("The packet's payload is not plain JSON.") from error
    if is_too_deep(document):
        raise PacketMalformed("The packet's payload has too many levels.")
    if canonical != payload:
        raise PacketNotCanonical("The packet's payload is not in canonical JSON.")
    try:
        statement = Statement.model_validate(document)
    except ValidationError as error:
        raise PacketMalformed("The packet's payload is not an in-toto statement v1 of the expected form.") from error
    if statement.canonical() != payload:  # a spelling that the model reads but would not write
        raise PacketMalformed("The packet's payload is not an in-toto statement v1 in its own form.")
    return statement


def _seal_of(statement: Statement) -> Seal:
    try:
        seal, _ = statement.seal, statement.inputs
    except (ValidationError, KeyError) as error:
        raise PacketMalformed("The packet's predicate lacks its version, its inputs or its seal.") from error
    if not statement.has_exact_seal:
        raise PacketMalformed("The packet's seal is not written in its own form.")
    return seal


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
