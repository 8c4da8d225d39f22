"""Public keys as a verifier gets them: PEM bytes in, a key and its id out, loaded once and used often. No files, no private keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from stella_pipelines.evidence.errors import KeyInvalid, SignatureInvalid
from stella_pipelines.evidence.keys.signatures import Algorithm, is_exact

_BEGIN: Final = b"-----BEGIN"
_ECDSA: Final = ECDSA(SHA256())
PUBLIC_PEM_BYTES_MAX: Final = 4096
"""A P-256 key in PEM form has 178 bytes."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key, ready to check signatures."""

    key_id: str
    algorithm: Algorithm
    pem: bytes
    _key: Ed25519PublicKey | EllipticCurvePublicKey

    def verify(self, signature: bytes, content: bytes) -> None:
        """Nothing, when this is the key's signature of `content` in its one form; `SignatureInvalid` otherwise."""
        if not is_exact(self.algorithm, signature):
            raise SignatureInvalid(f"The signature by the key {self.key_id} does not have the one form that {self.algorithm} signatures have.")
        try:
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(signature, content)
            else:
                self._key.verify(signature, content, _ECDSA)
        except InvalidSignature as error:
            raise SignatureInvalid(f"The signature by the key {self.key_id} does not fit the bytes that it stands with.") from error


def key_id_of(key: Ed25519PublicKey | EllipticCurvePublicKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, in hex: `openssl pkey -pubin -in KEY -outform DER | sha256sum` says the same."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def public_key(key: object) -> PublicKey:
    """A key of the `cryptography` library as one of ours; `KeyInvalid` for a kind that is not used here."""
    if isinstance(key, Ed25519PublicKey):
        return PublicKey(key_id_of(key), "ed25519", _pem(key), key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return PublicKey(key_id_of(key), "ecdsa-p256", _pem(key), key)
    raise _invalid()


def load_public_key(pem: bytes) -> PublicKey:
    """The key in `pem`; `KeyInvalid` for anything but one Ed25519 or P-256 public key."""
    if len(pem) > PUBLIC_PEM_BYTES_MAX or pem.count(_BEGIN) != 1:  # the library would take the first of several and pass over the others
        raise _invalid()
    try:
        return public_key(load_pem_public_key(pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid() from error


def _pem(key: Ed25519PublicKey | EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _invalid() -> KeyInvalid:
    return KeyInvalid(
        "A given public key file does not hold exactly one Ed25519 or ECDSA P-256 public key in PEM form.",
        next_step="Give the file evidence.pub of the installation, and one --key per file.",
    )
