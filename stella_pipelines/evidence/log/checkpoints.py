"""Checkpoints: what a log says it was at a size, signed (c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature). Pure.

A checkpoint's text is the log's name (the *origin*), its size and its root, a line each. It counts for nothing until a known key of that log
signed it; witnesses may add that they saw the log grow up to it and never change. Reading checks, in this order: the exact form, the expected
origin, every signature by a known key (one that is wrong refuses the whole, as does a second by the same key), and that there are enough.
Signatures by unknown keys are passed over, as the specification demands, so that a log can change keys and have new witnesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stella_pipelines.evidence.errors import (
    CheckpointConflicts,
    CheckpointInvalid,
    CheckpointUnsigned,
    CheckpointUnwitnessed,
    KeyInvalid,
    ProofInvalid,
    SignatureInvalid,
)
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log.note_keys import TIME_BYTES, TIME_MAX_S, NoteKey, SignatureType, sign_as_log, witness_message
from stella_pipelines.evidence.log.notes import NoteSignature, invalid, is_plain, read_base64, read_note, read_signature_lines, write_base64, write_note
from stella_pipelines.evidence.log.tree import EMPTY_ROOT
from stella_pipelines.evidence.merkle import HASH_BYTES, SIZE_MAX, verify_consistency

ORIGIN_CHARACTERS_MAX: Final = 255
EXTENSIONS_MAX: Final = 16
"""Other logs add lines of their own; ours never does, because nobody can check them."""
EXTENSION_CHARACTERS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log at one size. By itself only a claim."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The text that is signed, with its last newline."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, write_base64(self.root), *self.extensions))


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's word that, at a time, this was the largest tree of this log that it had seen, and that the log never changed before."""

    witness: str
    time_s: int
    """Seconds since 1970. The witness says so; who reads must judge whether it may be."""
    key_id: str


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """A checkpoint that its log signed with a known key."""

    checkpoint: Checkpoint
    log_key_ids: tuple[str, ...]
    cosignatures: tuple[Cosignature, ...]


def write_checkpoint(checkpoint: Checkpoint, keys: Sequence[SigningKey]) -> bytes:
    """The checkpoint as a note signed by its log; the keys' name is the origin, so that must be a name that a key can have."""
    text = checkpoint.text()
    if read_text(text) != checkpoint:
        raise invalid("This checkpoint cannot be written down.")
    return write_note(text, [sign_as_log(checkpoint.origin, key, text) for key in keys])


def add_cosignatures(content: bytes, lines: str) -> bytes:
    """The checkpoint with the lines that a witness answered, each in place of an older one by the same key. Checks their form only: read the result."""
    note, added = read_note(content), read_signature_lines(lines)
    replaced = {signature.by for signature in added}
    return write_note(note.text, [*(signature for signature in note.signatures if signature.by not in replaced), *added])


def read_checkpoint(
    content: bytes, *, origin: str, log_keys: Sequence[NoteKey], witness_keys: Sequence[NoteKey] = (), witnesses_min: int = 0
) -> VerifiedCheckpoint:
    """The checkpoint of the log `origin`, if every check passes; otherwise exactly one EVID_ error."""
    known = _by_name_and_hash(log_keys, witness_keys)
    note = read_note(content)
    checkpoint = read_text(note.text)
    if checkpoint.origin != origin:
        raise invalid(f"This is a checkpoint of the log {checkpoint.origin!r}, not of {origin!r}.")
    log_key_ids, cosignatures = _check_signatures(note.text, note.signatures, known)
    if not log_key_ids:
        raise CheckpointUnsigned(
            "No known key of the log signed this checkpoint.", next_step="Give the public key of the log, with its name, from a source that you trust."
        )
    if (found := len({cosignature.witness for cosignature in cosignatures})) < witnesses_min:
        raise CheckpointUnwitnessed(
            f"Of the known witnesses, {found} signed this checkpoint; {witnesses_min} were asked for.", next_step="Have it witnessed, or ask for fewer."
        )
    return VerifiedCheckpoint(checkpoint, log_key_ids, cosignatures)


def read_text(text: str) -> Checkpoint:
    """What a checkpoint's text says, if it is in its one form. Nobody has vouched for it."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not is_plain(text):
        raise _no_checkpoint()
    origin, size, root, *extensions = lines
    found = Checkpoint(origin, _read_size(size), read_base64(root) or b"", tuple(extensions))
    if found.text() != text or not 0 < len(origin) <= ORIGIN_CHARACTERS_MAX or len(found.root) != HASH_BYTES:
        raise _no_checkpoint()
    if len(extensions) > EXTENSIONS_MAX or not all(0 < len(line) <= EXTENSION_CHARACTERS_MAX for line in extensions):
        raise invalid(f"A checkpoint has at most {EXTENSIONS_MAX} lines more, of 1 to {EXTENSION_CHARACTERS_MAX} characters.")
    if found.size == 0 and found.root != EMPTY_ROOT:
        raise invalid("The checkpoint gives an empty log a root that it cannot have.")
    return found


def require_continues(older: Checkpoint, newer: Checkpoint, consistency_proof: Sequence[bytes]) -> None:
    """Nothing, if the newer checkpoint is the older log grown; `CheckpointConflicts` or `ProofInvalid` otherwise."""
    if older.origin != newer.origin:
        raise _conflict(f"The checkpoints are of two logs, {older.origin!r} and {newer.origin!r}.")
    if newer.size < older.size:
        raise _conflict(f"The log {older.origin!r} was seen with {older.size} entries; this checkpoint has {newer.size}.")
    if newer.size == older.size and newer.root != older.root:
        raise _conflict(f"The log {older.origin!r} shows two histories of {older.size} entries.")
    if older.size > 0:
        verify_consistency(older.size, newer.size, consistency_proof, older.root, newer.root)
    elif not isinstance(consistency_proof, (list, tuple)) or consistency_proof:
        raise ProofInvalid("A consistency proof from an empty log must be empty.")


def _read_size(text: str) -> int:
    """The size, or one that no text equals: whether it is written in its one way shows when it is written again."""
    plain = text.isascii() and text.isdigit() and len(text) <= len(str(SIZE_MAX))
    size = int(text) if plain else -1
    return size if size <= SIZE_MAX else -1


def _check_signatures(
    text: str, signatures: Sequence[NoteSignature], known: dict[tuple[str, bytes], NoteKey]
) -> tuple[tuple[str, ...], tuple[Cosignature, ...]]:
    log_key_ids: list[str] = []
    cosignatures: dict[str, Cosignature] = {}
    for signature in signatures:
        key = known.get(signature.by)
        if key is None:
            continue
        if key.public.key_id in (*log_key_ids, *cosignatures):
            raise invalid(f"The key {key.vkey()} signed the checkpoint twice.")
        if key.type is SignatureType.WITNESS_ED25519:
            cosignatures[key.public.key_id] = _check_cosignature(text, signature.signature, key)
        else:
            _check(key, signature.signature, text.encode())
            log_key_ids.append(key.public.key_id)
    return tuple(log_key_ids), tuple(cosignatures.values())


def _check_cosignature(text: str, timed: bytes, key: NoteKey) -> Cosignature:
    time_s = int.from_bytes(timed[:TIME_BYTES])
    if time_s > TIME_MAX_S:
        raise invalid(f"The time of the signature by {key.vkey()} is out of range.")
    _check(key, timed[TIME_BYTES:], witness_message(text, time_s))
    return Cosignature(key.name, time_s, key.public.key_id)


def _check(key: NoteKey, signature: bytes, message: bytes) -> None:
    try:
        key.public.verify(signature, message)
    except SignatureInvalid as error:
        raise invalid(f"The signature by {key.vkey()} does not fit the checkpoint.") from error


def _by_name_and_hash(log_keys: Sequence[NoteKey], witness_keys: Sequence[NoteKey]) -> dict[tuple[str, bytes], NoteKey]:
    """The keys, if each has its own role: a log that is its own witness has none."""
    if any(key.type is SignatureType.WITNESS_ED25519 for key in log_keys) or any(key.type is not SignatureType.WITNESS_ED25519 for key in witness_keys):
        raise _keys("A witness's key is given for a log, or a log's for a witness.")
    if {key.public.key_id for key in log_keys} & {key.public.key_id for key in witness_keys}:
        raise _keys("One key is given as the log's and as a witness's.")
    known = {key.by: key for key in (*log_keys, *witness_keys)}
    if len(known) != len(set(map(NoteKey.vkey, (*log_keys, *witness_keys)))):
        raise _keys("Two different keys have one name and one hash.")
    return known


def _no_checkpoint() -> CheckpointInvalid:
    return invalid("The text is not a checkpoint: a log's name, its size and its root, a line each.")


def _keys(what: str) -> KeyInvalid:
    return KeyInvalid(what, next_step="Give the log's own keys and the witnesses' own, each once, from a source that you trust.")


def _conflict(what: str) -> CheckpointConflicts:
    return CheckpointConflicts(what, next_step="Keep both checkpoints: if their signatures are right, together they prove what the log did.")
