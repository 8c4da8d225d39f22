"""Comparing an export with a checkpoint that was kept before: the log must have grown from it. Pure.

An export brings consistency proofs from the checkpoints of exports before it, and from one that was given when it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from stella_pipelines.core.canonical import NotCanonical, canonical_json, parse_canonical
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.errors import CheckpointConflicts, ProofInvalid
from stella_pipelines.evidence.exports.errors import ExportOfAnother, ExportProofInvalid, HistoryConflicts, NotComparable
from stella_pipelines.evidence.exports.multiproof import read_hashes, write_hashes
from stella_pipelines.evidence.exports.reading import ReadExport
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log.checkpoints import Checkpoint, read_checkpoint, read_text, require_continues
from stella_pipelines.evidence.log.note_keys import log_key
from stella_pipelines.evidence.log.notes import read_note

PROOFS_MAX: Final = 1_000
Proofs = Mapping[int, Sequence[bytes]]
"""By the older log's size."""


def write_proofs(proofs: Proofs) -> bytes:
    """The member `consistency.json`."""
    return canonical_json({str(size): write_hashes(hashes) for size, hashes in proofs.items()})


def read_proofs(content: bytes) -> Proofs:
    """The proofs of the member; `ExportProofInvalid` for another form."""
    try:
        document: Any = parse_canonical(content)
        return {int(size): read_hashes(text) for size, text in document.items()} if _is_form(document) else _refuse()
    except (NotCanonical, ProofInvalid) as error:
        raise ExportProofInvalid("The export's consistency proofs are not written in their one form.") from error


def kept_checkpoint(content: bytes, ring: KeyRing) -> Checkpoint:
    """A checkpoint that somebody kept, signed by a key of the same installation, also by one that was revoked since."""
    origin = read_text(read_note(content).text).origin
    return read_checkpoint(content, origin=origin, log_keys=[log_key(origin, key.pem) for key in ring.keys.values()]).checkpoint


def require_grown_from(export: ReadExport, kept: bytes) -> None:
    """Nothing, if the export's log is the kept checkpoint's log grown."""
    try:
        older = kept_checkpoint(kept, export.ring)
    except StellaError as error:
        raise ExportOfAnother(f"The older checkpoint is not of the installation that made this export: {error.what}") from error
    require_consistent(export, older)


def require_consistent(export: ReadExport, older: Checkpoint) -> None:
    """Nothing, if the proof is there and holds."""
    newer = export.checkpoint.checkpoint
    if older.origin != newer.origin:
        raise ExportOfAnother(f"The export is of the log {newer.origin!r}, and the older checkpoint is of {older.origin!r}.")
    proofs = {newer.size: (), 0: (), **read_proofs(export.content("consistency.json"))}
    if older.size < newer.size and older.size not in proofs:
        raise NotComparable(f"The export has no proof from a log of {older.size} entries.")
    try:
        require_continues(older, newer, list(proofs.get(older.size, ())))
    except CheckpointConflicts as error:
        raise HistoryConflicts(error.what) from error
    except ProofInvalid as error:
        raise HistoryConflicts(f"The export's log is not the one that the older checkpoint is of: {error.what}") from error


def _is_form(document: Any) -> bool:
    if not isinstance(document, dict) or len(document) > PROOFS_MAX:
        return False
    return all(_is_size(size) and isinstance(text, str) for size, text in document.items())


def _is_size(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 19 and str(int(name)) == name and int(name) > 0


def _refuse() -> NoReturn:
    raise ProofInvalid("The proofs are not by the sizes of older logs.")
