"""Reading and writing the small files of evidence: packets, keys, checkpoints, proofs. Bounded, and with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

from stella_pipelines.cli.files import why_unreadable
from stella_pipelines.core.errors import StellaError


class EvidenceFileUnwritable(StellaError):
    """Evidence cannot be written to the file that was named."""

    code = "EVID_FILE_UNWRITABLE"


class EvidenceFileUnreadable(StellaError):
    """A file of evidence, or a key, cannot be read."""

    code = "EVID_FILE_UNREADABLE"


def read_evidence_file(path: Path, bytes_max: int) -> bytes:
    """The file's bytes; of one that is too large just enough to be refused by whoever reads it."""
    try:
        with path.open("rb") as file:
            return file.read(bytes_max + 1)
    except OSError as error:
        raise EvidenceFileUnreadable(
            f"{path} cannot be read: {why_unreadable(error)}.", next_step="Give the file that was written by Stella; --key takes the public key's file."
        ) from error


def write_evidence_file(path: Path, content: bytes) -> None:
    """Write the whole file."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise EvidenceFileUnwritable(
            f"{path} cannot be written: {error.strerror or error}.", next_step="Name a file in a folder that you can write."
        ) from error
