"""Chunks of an export: the entries as lines, each proven to stand in the log at its index. One chunk is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from stella_pipelines.core.canonical import NotCanonical, parse_canonical
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.audit import AuditEntry
from stella_pipelines.evidence.errors import KeyRevoked, ProofInvalid
from stella_pipelines.evidence.exports.errors import ExportKeyRevoked, ExportProofInvalid, PacketInExportRefused
from stella_pipelines.evidence.exports.manifest import proof_name
from stella_pipelines.evidence.exports.multiproof import read_hashes, require_in_tree
from stella_pipelines.evidence.exports.reading import ReadExport
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log.entries import EntryKind, LogEntry
from stella_pipelines.evidence.streams import AUDIT
from stella_pipelines.evidence.verify import verify_packet

ENTRIES_MAX: Final = 1_000
BYTES_AIM: Final = 8 * 1024 * 1024
"""A chunk ends before it has more, if it has more than one entry."""
_PROOF_KEYS: Final = {"hashes", "indexes", "sequences"}
_LEAF_KEYS: Final = {"content", "id", "kind", "sequence", "stream"}


@dataclass(frozen=True, slots=True)
class ProvenLine:
    """One entry of the log with its exact bytes, and what the checks of a whole export need to know of it.

    Not with all that it says: the parsed statements of a chunk would keep Python's collector busier than the signatures keep the processor.
    """

    entry: LogEntry
    content: bytes
    at: datetime | None = None
    """When a packet was sealed, or an audit entry written; None for a leaf alone."""
    environment: str | None = None
    """Of an audit entry."""


def read_chunk(export: ReadExport, name: str, after: int) -> list[ProvenLine]:
    """The entries of a chunk, each genuine and in the log, and all behind the index `after`."""
    kind = name.split("/", maxsplit=1)[0]
    lines, indexes, sequences, hashes = _parts(export, name)
    try:
        read = _READERS[kind]
        found = [read(*line, export.ring) for line in zip(lines, indexes, sequences, strict=True)]
    except KeyRevoked as error:
        raise ExportKeyRevoked(f"In {name}: {error.what}") from error
    except StellaError as error:
        raise PacketInExportRefused(f"In {name}: {error.what}") from error
    head = export.checkpoint.checkpoint
    try:
        require_in_tree(indexes, [one.entry.leaf_hash() for one in found], head.size, hashes, head.root)
    except ProofInvalid as error:
        raise ExportProofInvalid(f"In {name}: {error.what}") from error
    if indexes[0] <= after:
        raise ExportProofInvalid(f"{name} does not go on in the log behind the chunk before it.")
    return found


def read_chunks(export: ReadExport, kind: str) -> Iterator[list[ProvenLine]]:
    """All chunks of a kind, in the order of the log."""
    after = -1
    for name in export.chunks(kind):
        found = read_chunk(export, name, after)
        after = found[-1].entry.index
        yield found


def _parts(export: ReadExport, name: str) -> tuple[list[bytes], list[int], list[int], list[bytes]]:
    content = export.content(name)
    try:
        indexes, sequences, hashes = _read_proof(export.content(proof_name(name)))
    except (NotCanonical, ProofInvalid) as error:
        raise ExportProofInvalid(f"The proof of {name} is not written in its one form.") from error
    lines = content.split(b"\n")
    if lines.pop() != b"" or not 0 < len(lines) == len(indexes) == len(sequences):
        raise ExportProofInvalid(f"{name} has not as many lines as its proof has places, or does not end with its last line.")
    return lines, indexes, sequences, hashes


def _read_proof(content: bytes) -> tuple[list[int], list[int], list[bytes]]:
    proof: Any = parse_canonical(content)
    if not isinstance(proof, dict) or proof.keys() != _PROOF_KEYS or not isinstance(proof["hashes"], str):
        raise ProofInvalid("The proof is not of its form.")
    return _numbers(proof["indexes"]), _numbers(proof["sequences"]), read_hashes(proof["hashes"])


def _numbers(found: Any) -> list[int]:
    if not isinstance(found, list) or len(found) > ENTRIES_MAX or not all(type(one) is int and one >= 0 for one in found):
        raise ProofInvalid("The proof's places are not whole numbers, or too many.")
    return found


def _packet(line: bytes, index: int, sequence: int, ring: KeyRing) -> ProvenLine:
    packet = verify_packet(line, ring, log_index=index)
    seal = packet.seal
    if seal.sequence != sequence:
        raise ProofInvalid(f"the packet {seal.packet_id} has another number than its proof says.")
    entry = LogEntry(index, "packet", seal.packet_id, seal.stream, sequence, packet.packet_digest)
    return ProvenLine(entry, line, seal.sealed_at)


def _audit(line: bytes, index: int, sequence: int, ring: KeyRing) -> ProvenLine:
    del ring  # the log alone vouches for it
    try:
        entry = AuditEntry.model_validate(parse_canonical(line))
    except (NotCanonical, ValidationError) as error:
        raise ProofInvalid("an audit entry is not canonical JSON of its form.") from error
    if entry.canonical() != line:
        raise ProofInvalid(f"the audit entry {entry.id[:80]!r} is not written in its own form.")
    return ProvenLine(LogEntry(index, "audit", entry.id, AUDIT, sequence, Digest.of(line)), line, entry.at, entry.environment)


def _leaf(line: bytes, index: int, sequence: int, ring: KeyRing) -> ProvenLine:
    del ring  # the log alone vouches for it
    try:
        leaf: Any = parse_canonical(line)
    except NotCanonical as error:
        raise ProofInvalid("a leaf is not canonical JSON.") from error
    if not isinstance(leaf, dict) or leaf.keys() != _LEAF_KEYS or leaf["kind"] not in ("packet", "audit"):
        raise ProofInvalid("a leaf does not have the members of one.")
    if not all(type(leaf[name]) is str for name in ("content", "id", "stream")) or type(leaf["sequence"]) is not int or leaf["sequence"] != sequence:
        raise ProofInvalid("a leaf says something else than its proof, or nothing that can be.")
    kind: EntryKind = leaf["kind"]
    return ProvenLine(LogEntry(index, kind, leaf["id"], leaf["stream"], sequence, Digest(leaf["content"])), line)


_READERS: Final[dict[str, Callable[[bytes, int, int, KeyRing], ProvenLine]]] = {"packets": _packet, "audit": _audit, "purged": _leaf, "tail": _leaf}
