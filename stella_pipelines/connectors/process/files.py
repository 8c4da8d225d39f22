"""Files that are either all there or not there, whoever is killed when; and a lock that the kernel takes back from the dead."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stella_pipelines.connectors.port import TargetUnreachable

LOCK_TIMEOUT_S: Final = 60.0
"""How long to wait for another process that is changing the same target."""
_POLL_S: Final = 0.01


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content`: readers see the old content or the new, also after a power cut."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def appearing_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which appears as `path` all at once at the end of the block. Called under a lock: what earlier, killed tries left is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):
        remove_tree(left)
    hidden = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield hidden
        hidden.replace(path)
        sync_folder(path.parent)
    finally:
        remove_tree(hidden)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder: links stay links, rights stay, no file is shared. Ends at the first error, so that a full disk is told as one."""
    pending = [(source, target)]
    while pending:
        here, there = pending.pop()
        there.mkdir()
        there.chmod(stat.S_IMODE(here.stat().st_mode))
        for entry in here.iterdir():
            if entry.is_symlink():
                (there / entry.name).symlink_to(entry.readlink())
            elif entry.is_dir():
                pending.append((entry, there / entry.name))
            else:
                shutil.copy(entry, there / entry.name)


def remove_tree(path: Path) -> None:
    """Remove a folder and all that is in it; nothing, when it is not there."""
    shutil.rmtree(path, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[int]:
    """Hold the lock file at `path`; yields its descriptor. The lock ends with the last process that has the descriptor open."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for_lock(descriptor, path, time.monotonic() + timeout_s)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TargetUnreachable(
                    f"Somebody else holds {path} and does not let go.", next_step="Look for a hanging 'stella' process on this machine."
                ) from None
            time.sleep(_POLL_S)
        else:
            return
