"""Ready-made evidence for tests: keys, subjects, and packets that differ from a genuine one in exactly one way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.statement import Kind, Seal, Subject, make_statement

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
RELEASE = Subject(name="shop-1.0.0", digest=Digest.of(b"release"))
PREDICATE: dict[str, Any] = {"inputs": [{"name": "gate/approval", "digest": Digest.of(b"inputs")}], "outcome": "allow"}
SEAL = Seal(packet_id="evd_01jd0000000000000000000000", stream="environment/prod", sequence=1, sealed_at=NOW)


def signing_key(seed: int = 1) -> FileKey:
    """A key that is the same in every run."""
    return FileKey(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def p256_key(seed: int = 1) -> FileKey:
    """An ECDSA key that is the same in every run; its signatures are not."""
    return FileKey(derive_private_key(seed, SECP256R1()))


def genuine_payload(kind: Kind = "decision", **more: object) -> bytes:
    """A statement's canonical bytes."""
    return make_statement(kind, [RELEASE], {**PREDICATE, **more}, SEAL).canonical()


def genuine_packet(key: SigningKey | None = None, kind: Kind = "decision", **more: object) -> bytes:
    """A packet that verifies with the key's public half."""
    return write_envelope(genuine_payload(kind, **more), key or signing_key())
