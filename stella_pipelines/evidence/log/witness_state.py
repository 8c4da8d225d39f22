"""What a witness remembers: the last checkpoint that it cosigned of each log, a file each. Read and replaced in one step, under a lock.

A witness is somebody else than the log, so this is a folder of its own and no table of the installation.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.log.checkpoints import Checkpoint, read_text
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX, invalid


class WitnessFolderUnusable(StellaError):
    """The folder in which a witness remembers cannot be read or written."""

    code = "EVID_WITNESS_FOLDER"


class Remembered:
    """One log's last checkpoint, while the lock is held."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> Checkpoint | None:
        """The last one, or None for a log that was never seen. A damaged file is an error: a witness that forgets is none."""
        try:
            with self._path.open("rb") as file:
                content = file.read(NOTE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        try:
            return read_text(content.decode())
        except UnicodeDecodeError as error:
            raise invalid(f"{self._path} is not what the witness wrote.") from error

    def keep(self, checkpoint: Checkpoint) -> None:
        """Remember this one from now on, also after a power cut; only then may the signature be given away."""
        draft = self._path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(checkpoint.text().encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def remembering(folder: Path, origin: str) -> Iterator[Remembered]:
    """The memory of one log; another cosigner of the same folder waits here."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Remembered(folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint")
    except OSError as error:
        raise WitnessFolderUnusable(
            f"{folder} cannot be used: {error.strerror or error}. Nothing was cosigned.", next_step="Name a folder that this account can write."
        ) from error
