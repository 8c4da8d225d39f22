"""Public keys as a verifier gets them: PEM bytes in, a key and its id out. No files, no private keys."""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from stella_pipelines.evidence.errors import KeyInvalid

_BEGIN: Final = b"-----BEGIN"


def key_id_of(key: Ed25519PublicKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, in hex: `openssl pkey -pubin -in KEY -outform DER | sha256sum` says the same."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """The key in `pem`; `KeyInvalid` for anything but one Ed25519 public key."""
    if pem.count(_BEGIN) != 1:  # the library would take the first of several and pass over the others
        raise _invalid()
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid() from error
    if not isinstance(key, Ed25519PublicKey):
        raise _invalid()
    return key


def _invalid() -> KeyInvalid:
    return KeyInvalid(
        "A given public key file does not hold exactly one Ed25519 public key in PEM form.",
        next_step="Give the file evidence.pub of the installation, and one --key per file.",
    )
