"""Keys as signed notes know them: a name, a kind of signature, a public key, and a hash of four bytes that tells which key to try.

The kinds, by their type byte in c2sp.org/signed-note:

- 0x01, a log's Ed25519: signs the note's text. Key hash: SHA-256(name, newline, 0x01, the 32 bytes of the key)[:4].
- 0x02, a log's ECDSA P-256: signs the SHA-256 of the text, in DER. Key hash: SHA-256(the key's DER SubjectPublicKeyInfo)[:4], without name and
  type. That departs from what the specification recommends for other kinds, but it is what it demands for this one, because logs that were
  there before it (Sigstore's Rekor) had it so. A key is looked up by name *and* hash and the signature decides, so nothing rests on it; but a
  wrong name in the text form of such a key goes unnoticed until no signature is found by it. As text the key has the DER
  SubjectPublicKeyInfo behind the type byte, as in transparency-dev's `formats/note`.
- 0x04, a witness's Ed25519 with a time (c2sp.org/tlog-cosignature, `cosignature/v1`): signs a line of its own and the time before the text, so
  that no witness's signature can pass for a log's. Key hash as for 0x01, with 0x04.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key, load_pem_public_key

from stella_pipelines.evidence.errors import KeyInvalid, SignatureInvalid
from stella_pipelines.evidence.keys.public import PublicKey, load_public_key, public_key
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log.notes import KEY_HASH_BYTES, NoteSignature, is_key_name, read_base64, write_base64

VKEY_CHARACTERS_MAX: Final = 1024
TIME_BYTES: Final = 8
TIME_MAX_S: Final = 2**63 - 1


class SignatureType(IntEnum):
    """The type byte of a kind of signature."""

    LOG_ED25519 = 0x01
    LOG_ECDSA = 0x02
    WITNESS_ED25519 = 0x04


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key under the name that it signs notes with."""

    name: str
    type: SignatureType
    public: PublicKey
    material: bytes
    """The public key's bytes, as the key's text form has them."""

    @property
    def key_hash(self) -> bytes:
        """Four bytes that tell a name's keys apart."""
        typed = b"" if self.type is SignatureType.LOG_ECDSA else self.name.encode() + b"\n" + bytes([self.type])
        return hashlib.sha256(typed + self.material).digest()[:KEY_HASH_BYTES]

    @property
    def by(self) -> tuple[str, bytes]:
        """What a signature line by this key begins with."""
        return self.name, self.key_hash

    def vkey(self) -> str:
        """The key as one line of text, for verifiers: `name+hash+base64`."""
        return f"{self.name}+{self.key_hash.hex()}+{write_base64(bytes([self.type]) + self.material)}"


def log_key(name: str, public_pem: bytes) -> NoteKey:
    """A log's key; its kind follows from the public key."""
    public = load_public_key(public_pem)
    return _key(name, SignatureType.LOG_ED25519 if public.algorithm == "ed25519" else SignatureType.LOG_ECDSA, public)


def witness_key(name: str, public_pem: bytes) -> NoteKey:
    """A witness's key, which must be Ed25519."""
    return _key(name, SignatureType.WITNESS_ED25519, load_public_key(public_pem))


def read_vkey(text: str) -> NoteKey:
    """The key that `vkey` wrote, byte for byte; `KeyInvalid` for anything else."""
    name, _, rest = text[: VKEY_CHARACTERS_MAX + 1].partition("+")
    content = read_base64(rest.partition("+")[2])
    if len(text) > VKEY_CHARACTERS_MAX or not content:
        raise _invalid("A verifier key is not of the form name+hash+base64.")
    key = _key(name, _type(content[0]), _load(content[0], content[1:]))
    if key.vkey() != text:
        raise _invalid("A verifier key's name, hash and key do not belong together.")
    return key


def sign_as_log(name: str, key: SigningKey, text: str) -> NoteSignature:
    """The log's signature of a note's text, checked before anybody sees it."""
    note_key = log_key(name, key.public_pem)
    return NoteSignature(*note_key.by, _signed(key, note_key, text.encode()))


def sign_as_witness(name: str, key: SigningKey, text: str, time_s: int) -> NoteSignature:
    """A witness's signature of a note's text at a time, checked before anybody sees it."""
    note_key = witness_key(name, key.public_pem)
    return NoteSignature(*note_key.by, time_s.to_bytes(TIME_BYTES) + _signed(key, note_key, witness_message(text, time_s)))


def witness_message(text: str, time_s: int) -> bytes:
    """What a witness signs, as c2sp.org/tlog-cosignature has it."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _signed(key: SigningKey, note_key: NoteKey, message: bytes) -> bytes:
    signature = key.sign(message)
    try:
        note_key.public.verify(signature, message)
    except SignatureInvalid as error:
        raise KeyInvalid(
            f"The signing key {key.key_id} gave a signature that its own public key refuses.",
            next_step="Check the key's reference: a key service may hold another version of the key than the one that it names.",
        ) from error
    return signature


def _key(name: str, kind: SignatureType, public: PublicKey) -> NoteKey:
    if not is_key_name(name):
        raise _invalid(f"The name {name[:100]!r} is empty or has a space or a plus in it, which a key's name in a checkpoint cannot have.")
    if (public.algorithm == "ed25519") is (kind is SignatureType.LOG_ECDSA):
        raise _invalid("The kind of signature and the kind of key do not belong together; a witness needs an Ed25519 key.")
    return NoteKey(name, kind, public, _material(public))


def _material(public: PublicKey) -> bytes:
    key = load_pem_public_key(public.pem)
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes_raw()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _type(byte: int) -> SignatureType:
    try:
        return SignatureType(byte)
    except ValueError as error:
        raise _invalid(f"A verifier key is for signatures of the unknown type 0x{byte:02x}.") from error


def _load(byte: int, material: bytes) -> PublicKey:
    try:
        return public_key(load_der_public_key(material) if byte == SignatureType.LOG_ECDSA else Ed25519PublicKey.from_public_bytes(material))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid("A verifier key does not hold a public key of its kind.") from error


def _invalid(what: str) -> KeyInvalid:
    return KeyInvalid(what, next_step="Take the key's line again from the log or the witness, whole, from a source that you trust.")
