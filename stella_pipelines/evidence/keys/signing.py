"""The key that seals. `SigningKey` is a port, so that a key may live in a file, in the environment, in Vault or in a cloud's KMS.

Here are the port and what needs no other place: a key that this process holds, and one that is fetched only when it is needed. Files are in
`key_files.py`; keys that never leave their service are in `integrations/signing/`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from stella_pipelines.evidence.keys.public import public_key
from stella_pipelines.evidence.keys.signatures import Algorithm, exact_ecdsa

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey


class SigningKey(Protocol):
    """Something that signs bytes and says which public key verifies them."""

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's DER form, as 64 hex digits."""
        ...

    @property
    def public_pem(self) -> bytes:
        """The public key, for verifiers."""
        ...

    @property
    def algorithm(self) -> Algorithm:
        """Which kind of signature it makes."""
        ...

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`, in its one exact form (`signatures.py`)."""
        ...


class HeldKey:
    """A private key that this process holds."""

    def __init__(self, private: PrivateKey) -> None:
        self._private = private
        public = public_key(private.public_key())
        self.key_id: str = public.key_id
        self.public_pem: bytes = public.pem
        self.algorithm: Algorithm = public.algorithm

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`."""
        if isinstance(self._private, Ed25519PrivateKey):
            return self._private.sign(content)
        return exact_ecdsa(self._private.sign(content, ECDSA(SHA256())))


class KeyWhenNeeded:
    """A key that is loaded, or created, only when something is sealed or verified: whoever only looks leaves no key behind.

    It can be looked for again, for a process that is older than the key in force. `load` gets the id of the key that is wanted, if that is known.
    """

    def __init__(self, load: Callable[[str | None], SigningKey]) -> None:
        self._load = load
        self._loaded: SigningKey | None = None

    @property
    def _key(self) -> SigningKey:
        return self._loaded or self.load()

    def load(self) -> SigningKey:
        """Look for the key now."""
        self._loaded = self._load(None)
        return self._loaded

    def reload(self, key_id: str) -> None:
        """Look again where the key is kept, which now may have the one with this id."""
        self._loaded = self._load(key_id)

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's DER form, as 64 hex digits."""
        return self._key.key_id

    @property
    def public_pem(self) -> bytes:
        """The public key, for verifiers."""
        return self._key.public_pem

    @property
    def algorithm(self) -> Algorithm:
        """Which kind of signature it makes."""
        return self._key.algorithm

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`."""
        return self._key.sign(content)


def new_private_key(algorithm: Algorithm) -> PrivateKey:
    """A fresh private key."""
    return Ed25519PrivateKey.generate() if algorithm == "ed25519" else generate_private_key(SECP256R1())


def private_pem(key: PrivateKey) -> bytes:
    """The key as it is kept: PKCS #8 in PEM form, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_private_key(pem: bytes) -> PrivateKey | None:
    """The key in `pem`; None for anything but an unencrypted Ed25519 or P-256 private key."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key is encrypted
        return None
    if isinstance(key, Ed25519PrivateKey) or (isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)):
        return key
    return None
