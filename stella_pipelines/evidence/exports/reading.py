"""Reading an export whose every byte somebody has vouched for: the signature first, then the manifest, and members only as the manifest has them.

Before the signature is checked, nothing is parsed but the ZIP's records, the key history and the signature itself, all of bounded size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.errors import CheckpointInvalid, CheckpointUnsigned, KeyInvalid, SignatureInvalid
from stella_pipelines.evidence.exports import manifest as members
from stella_pipelines.evidence.exports.container import DEFLATED, STORED
from stella_pipelines.evidence.exports.errors import (
    CountsWrong,
    ExportKeyRevoked,
    ExportKeyUnknown,
    ExportMalformed,
    ExportProofInvalid,
    ManifestInvalid,
    ManifestUnsigned,
    MemberChanged,
    MemberExtra,
    MemberMissing,
)
from stella_pipelines.evidence.exports.manifest import CHUNK_KINDS, Manifest, MemberEntry, chunk_name, is_known, proof_name, signed_text
from stella_pipelines.evidence.exports.opening import OpenedFile
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.keys.history import HISTORY_BYTES_MAX
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log.checkpoints import VerifiedCheckpoint, read_checkpoint
from stella_pipelines.evidence.log.note_keys import NoteKey, log_key
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX, Note, read_note, write_base64


@dataclass(frozen=True, slots=True)
class ReadExport:
    """An export whose manifest is signed by a key that counts. Its members are checked one by one as they are read."""

    file: OpenedFile
    manifest: Manifest
    digest: Digest
    """Of the manifest: the export's identity."""
    ring: KeyRing
    signed_by: str
    checkpoint: VerifiedCheckpoint
    note: bytes
    entries: dict[str, MemberEntry]

    def content(self, name: str) -> bytes:
        """A member's content, which is what the manifest says."""
        entry = self.entries.get(name)
        if entry is None:
            raise MemberMissing(f"The manifest has no {name}.")
        content, packed = self.file.both(name)
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise MemberChanged(f"{name} has other bytes than the manifest says.")
        if entry.packed_sha256 is not None and hashlib.sha256(packed).hexdigest() != entry.packed_sha256:
            raise MemberChanged(f"{name} is packed into other bytes than the manifest says.")
        return content

    def chunks(self, kind: str) -> list[str]:
        """The chunks of a kind, in their order."""
        count = sum(name.startswith(f"{kind}/") and name.endswith(".jsonl") for name in self.entries)
        return [chunk_name(kind, number) for number in range(1, count + 1)]


def read_export(file: OpenedFile, trust: Trust) -> ReadExport:
    """The export in a file, if a key that counts vouches for its manifest, and the file has exactly the members that it names."""
    ring = trust.ring(file.content(members.KEYS, HISTORY_BYTES_MAX))
    content = file.content(members.MANIFEST, members.MANIFEST_BYTES_MAX)
    digest = Digest.of(content)
    signed_by, origin = _signer(file, digest, ring)
    manifest = Manifest.read(content)
    if manifest.summary.log.origin != origin:
        raise ManifestInvalid("The manifest and its signature name two logs.")
    entries = {entry.name: entry for entry in manifest.members}
    _require_members(manifest, file)
    _require_chunks(entries)
    note = file.content(members.CHECKPOINT, NOTE_BYTES_MAX)
    return ReadExport(file, manifest, digest, ring, signed_by, _checkpoint(note, manifest, ring), note, entries)


def _signer(file: OpenedFile, digest: Digest, ring: KeyRing) -> tuple[str, str]:
    """Whose signature stands under the manifest, and the log's name that it was made for."""
    try:
        note = read_note(file.content(members.SIGNATURE, NOTE_BYTES_MAX))
    except CheckpointInvalid as error:
        raise ManifestUnsigned("The signature beside the manifest is not written as a signed note.") from error
    origin = note.text.split("\n")[1]
    if note.text != signed_text(origin, digest) or len(note.signatures) != 1:
        raise ManifestUnsigned("The signature beside the manifest is of another manifest: one of the two was changed.")
    key = _key_of(note, origin, ring)
    try:
        key.public.verify(note.signatures[0].signature, note.text.encode())
    except SignatureInvalid as error:
        raise ManifestUnsigned("The signature under the manifest does not fit it: the manifest was changed, or somebody else made it.") from error
    return key.public.key_id, origin


def _key_of(note: Note, origin: str, ring: KeyRing) -> NoteKey:
    try:
        keys = [log_key(origin, key.pem) for key in ring.keys.values()]
    except KeyInvalid as error:
        raise ManifestUnsigned("The signature beside the manifest names a log that cannot be.") from error
    found = next((key for key in keys if key.by == note.signatures[0].by), None)
    if found is None:
        raise ExportKeyUnknown("The export is signed by a key for which none of the given ones vouches.")
    revocation = ring.revoked.get(found.public.key_id)
    if revocation is not None:
        raise ExportKeyRevoked(f"The export is signed by the key {found.public.key_id}, which was revoked ({revocation.reason}).")
    return found


def _require_members(manifest: Manifest, file: OpenedFile) -> None:
    """The file has exactly the members of the manifest, in its order, and then the manifest and its signature."""
    wanted = [*(entry.name for entry in manifest.members), members.MANIFEST, members.SIGNATURE]
    missing, extra = sorted(set(wanted) - set(file.members)), sorted(set(file.members) - set(wanted))
    if missing:
        raise MemberMissing(f"The manifest names {missing[0]}, and the file does not have it ({len(missing)} missing).")
    if extra:
        raise MemberExtra(f"The file has {extra[0]}, of which the manifest knows nothing ({len(extra)} of such).")
    if wanted != list(file.members):
        raise ExportMalformed("The members stand in another order than in the manifest, or one is named twice.")
    for entry in manifest.members:
        if not is_known(entry.name):
            raise ManifestInvalid(f"No export of this form has a member {entry.name}.")
        if entry.size != file.members[entry.name].size:
            raise MemberChanged(f"{entry.name} has another size than the manifest says.")
    _require_methods(manifest, file)


def _require_methods(manifest: Manifest, file: OpenedFile) -> None:
    """What is deflated is known by both digests; or bits that unpacking passes over could be changed."""
    deflated = {entry.name for entry in manifest.members if entry.packed_sha256 is not None}
    for name, member in file.members.items():
        if member.method != (DEFLATED if name in deflated else STORED):
            raise ExportMalformed(f"{name} is not packed in the way that the manifest says.")


def _require_chunks(entries: dict[str, MemberEntry]) -> None:
    """The chunks of each kind are numbered from 1, and each has its proof."""
    for kind in CHUNK_KINDS:
        found = {name for name in entries if name.startswith(f"{kind}/")}
        chunks = [chunk_name(kind, number) for number in range(1, len(found) // 2 + 1)]
        wanted = {*chunks, *map(proof_name, chunks)}
        if found != wanted:
            raise MemberMissing(f"Of the {kind} chunks, {sorted(found ^ wanted)[0]} has no number in the row, or no counterpart.")


def _checkpoint(note: bytes, manifest: Manifest, ring: KeyRing) -> VerifiedCheckpoint:
    head = manifest.summary.log
    try:
        found = read_checkpoint(note, origin=head.origin, log_keys=[log_key(head.origin, pem) for pem in ring.unrevoked])
    except CheckpointUnsigned as error:
        raise ExportKeyRevoked("The export's checkpoint is signed only by keys that were revoked, or that nobody vouches for.") from error
    except StellaError as error:
        raise ExportProofInvalid(f"The export's checkpoint is not valid: {error.what}") from error
    if (found.checkpoint.size, write_base64(found.checkpoint.root)) != (head.size, head.root):
        raise CountsWrong("The manifest and the checkpoint tell of two different logs.")
    return found
