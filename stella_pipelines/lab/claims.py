"""Which lab numbers are taken. A claim is a locked file: the kernel drops the lock when the owner dies, however it dies.

What the owner wrote into the file (`LabRecord`) stays. So a file with content and without a lock is an orphaned lab, and says what
there is to remove. Claim files are emptied, never deleted: deleting a lock file lets two owners lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from stella_pipelines.core.values import Value
from stella_pipelines.lab.addresses import HOSTS_MAX, LABS_MAX, LabAddresses
from stella_pipelines.lab.errors import LabUnsupported

LabKind = Literal["engines", "embedded"]


class LabRecord(Value):
    """What must be removed when the lab's owner cannot do it."""

    number: int
    kind: LabKind
    folder: str
    owner_pid: int


class Claim:
    """A lab number that is ours until `release()`, or until this process ends."""

    def __init__(self, number: int, descriptor: int) -> None:
        self.addresses = LabAddresses(number)
        self._descriptor = descriptor

    def read(self) -> LabRecord | None:
        """What an earlier owner left here."""
        content = os.pread(self._descriptor, 64 * 1024, 0)
        if not content:
            return None
        try:
            return LabRecord.model_validate_json(content)
        except ValidationError:
            return None  # an owner that died while writing had started nothing yet

    def write(self, record: LabRecord) -> None:
        """Say what will be there; call it before anything is started."""
        self.clear()
        os.pwrite(self._descriptor, record.canonical(), 0)

    def clear(self) -> None:
        """Say that nothing is left."""
        os.ftruncate(self._descriptor, 0)

    def release(self) -> None:
        """Give the number back."""
        os.close(self._descriptor)


def claims_folder() -> Path:
    """Where this user's claims are. Only a folder of our own is trusted: what a claim says is removed."""
    is_root = os.geteuid() == 0 and os.access("/run", os.W_OK)
    folder = Path("/run/stella-labs") if is_root else Path(tempfile.gettempdir()) / f"stella-labs-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise LabUnsupported(f"{folder} belongs to somebody else.", next_step="Remove it, or set TMPDIR to a folder of your own.")
    return folder


def claims(folder: Path, links: Path = Path("/sys/class/net")) -> Iterator[Claim]:
    """Each free number, locked, in order. Whoever takes the iterator releases what it does not keep.

    Not free is a number that somebody holds, one that still has an orphan, and one whose bridges are there: then a lab stands in this
    network whose claim we cannot see, because its owner has another /run.
    """
    for number in range(LABS_MAX):
        claim = _try(folder, number)
        if claim is not None and claim.read() is None and not _has_bridges(claim.addresses, links):
            yield claim
        elif claim is not None:
            claim.release()


def _has_bridges(addresses: LabAddresses, links: Path) -> bool:
    return any((links / addresses.bridge(index)).exists() for index in range(HOSTS_MAX))


def orphans(folder: Path) -> Iterator[tuple[Claim, LabRecord]]:
    """Each lab whose owner died, locked so that only one process removes it."""
    for path in sorted(folder.glob("*.claim")):
        if path.stat().st_size == 0:
            continue
        claim = _try(folder, int(path.stem))
        if claim is None:
            continue
        record = claim.read()
        if record is None:
            claim.clear()
            claim.release()
        else:
            yield claim, record


def _try(folder: Path, number: int) -> Claim | None:
    descriptor = os.open(folder / f"{number}.claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Claim(number, descriptor)
