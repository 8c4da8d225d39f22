"""One entry's proof as a text file of its own (c2sp.org/tlog-proof): the index, the inclusion proof, and the checkpoint that it leads to. Pure.

The file's `extra` line carries the leaf's data, so that with the packet, the proof and a public key nothing else is needed. The specification
leaves `extra` unauthenticated; here it is hashed into the leaf, and what it says of the packet is compared with the packet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stella_pipelines.core.canonical import NotCanonical, parse_canonical
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.errors import ProofInvalid
from stella_pipelines.evidence.log.checkpoints import VerifiedCheckpoint, read_checkpoint, read_text
from stella_pipelines.evidence.log.note_keys import NoteKey, log_key
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX, read_base64, read_note, write_base64
from stella_pipelines.evidence.merkle import SIZE_MAX, leaf_hash, verify_inclusion
from stella_pipelines.evidence.verify import VerifiedPacket

HEADER: Final = "c2sp.org/tlog-proof@v1"
HASHES_MAX: Final = SIZE_MAX.bit_length()
EXTRA_CHARACTERS_MAX: Final = 16 * 1024
PROOF_BYTES_MAX: Final = NOTE_BYTES_MAX + 32 * 1024
"""A checkpoint, the leaf's data and 63 hashes."""
_MEMBERS: Final = {"content", "id", "kind", "sequence", "stream"}


@dataclass(frozen=True, slots=True)
class LogProof:
    """A proof as it was read or made; nothing is checked yet."""

    leaf_data: bytes
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    """The checkpoint's note."""


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry that stands in the log at its index."""

    id: str
    kind: str
    stream: str
    sequence: int
    content: Digest
    index: int
    checkpoint: VerifiedCheckpoint


def write_proof(proof: LogProof) -> bytes:
    """The file's bytes."""
    lines = [HEADER, f"extra {write_base64(proof.leaf_data)}", f"index {proof.index}", *map(write_base64, proof.hashes), "", ""]
    return "\n".join(lines).encode() + proof.checkpoint


def read_proof(content: bytes) -> LogProof:
    """The proof that these bytes are, in their one form; `ProofInvalid` for anything else."""
    if len(content) > PROOF_BYTES_MAX:
        raise ProofInvalid(f"A proof has at most {PROOF_BYTES_MAX} bytes; this has {len(content)}.")
    head, separator, checkpoint = content.partition(b"\n\n")
    try:
        header, extra, index, *hashes = head.decode("ascii").split("\n")
    except (UnicodeDecodeError, ValueError) as error:
        raise _malformed() from error
    leaf_data, read_hashes = read_base64(extra.removeprefix("extra ")), [read_base64(line) for line in hashes]
    number = index.removeprefix("index ")
    if header != HEADER or not separator or not leaf_data or len(extra) > EXTRA_CHARACTERS_MAX or len(hashes) > HASHES_MAX:
        raise _malformed()
    if not (number.isdigit() and len(number) <= len(str(SIZE_MAX))):
        raise _malformed()
    proof = LogProof(leaf_data, int(number), tuple(one or b"" for one in read_hashes), checkpoint)
    if write_proof(proof) != content:  # one spelling only
        raise _malformed()
    return proof


def check_proof(proof: LogProof, origin: str | None, log_keys: Sequence[bytes], witness_keys: Sequence[NoteKey] = (), witnesses_min: int = 0) -> ProvenEntry:
    """The entry, if the checkpoint is signed by one of these keys (PEM) and the proof leads to it. `origin`: the log that is expected, if one is known."""
    name = read_text(read_note(proof.checkpoint).text).origin if origin is None else origin
    keys = [log_key(name, pem) for pem in log_keys]
    verified = read_checkpoint(proof.checkpoint, origin=name, log_keys=keys, witness_keys=witness_keys, witnesses_min=witnesses_min)
    verify_inclusion(leaf_hash(proof.leaf_data), proof.index, verified.checkpoint.size, proof.hashes, verified.checkpoint.root)
    return _entry(proof, verified)


def require_entry_of(entry: ProvenEntry, packet: VerifiedPacket) -> None:
    """Nothing, if the entry is this packet's; `ProofInvalid` for the proof of another one."""
    seal = packet.seal
    sealed = ("packet", seal.packet_id, seal.stream, seal.sequence, packet.packet_digest)
    if (entry.kind, entry.id, entry.stream, entry.sequence, entry.content) != sealed:
        raise ProofInvalid(f"The proof is of {entry.id[:80]!r}, and not of this packet.")


def _entry(proof: LogProof, verified: VerifiedCheckpoint) -> ProvenEntry:
    try:
        leaf = parse_canonical(proof.leaf_data)
    except NotCanonical as error:
        raise _malformed() from error
    if not isinstance(leaf, dict) or leaf.keys() != _MEMBERS:
        raise _malformed()
    entry_id, kind, stream, sequence, content = (leaf[name] for name in ("id", "kind", "stream", "sequence", "content"))
    if not (isinstance(entry_id, str) and isinstance(kind, str) and isinstance(stream, str) and isinstance(content, str) and type(sequence) is int):
        raise _malformed()
    return ProvenEntry(entry_id, kind, stream, sequence, Digest(content), proof.index, verified)


def _malformed() -> ProofInvalid:
    return ProofInvalid("The file is not a log proof of this kind of log, in its exact form.")
