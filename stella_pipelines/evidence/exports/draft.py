"""An export in the making: the file itself under the name `FILE.partial`, and beside it a journal of the members that are in it.

A process may be killed at any moment. What the journal does not have is cut off, and the work goes on from there; the end of the making verifies the
whole file before anybody gets it, so a disk that lost more than that is found out. Two processes cannot work on one draft.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.exports import container
from stella_pipelines.evidence.exports.container import DEFLATED, STORED, Member
from stella_pipelines.evidence.exports.errors import DraftUnusable, ExportTooLarge, ExportUnwritable
from stella_pipelines.evidence.exports.manifest import MemberEntry
from stella_pipelines.evidence.exports.question import Question

_ANEW = "Finish it with the same command, or begin anew with --restart."


class Beginning(Value):
    """The journal's first line: what the export is of, decided once."""

    form: int = 1
    question: Question
    artifacts: bool
    tables: tuple[str, ...]
    origin: str
    size: int
    """Of the checkpoint: a draft that goes on later still answers up to there."""
    packet_id: str
    """Under which the export will be sealed."""

    def asks_the_same(self, other: Beginning) -> bool:
        """Whether a draft that began so may go on for this one."""
        ours, theirs = (one.model_dump(exclude={"size", "packet_id"}) for one in (self, other))
        return ours == theirs


class Draft:
    """An open draft. Members are added in order; those that are there already are passed over."""

    def __init__(self, file: BinaryIO, journal: IO[bytes], beginning: Beginning, done: list[tuple[Member, MemberEntry]], selected: str | None) -> None:
        self._file = file
        self._journal = journal
        self._selected = selected
        self.beginning = beginning
        self.members = [member for member, _ in done]
        self.entries = {entry.name: entry for _, entry in done}

    def require_selected(self, selected: Digest) -> None:
        """The entries that the export holds are those that it was begun with. A purge in between would be the reason that they are not."""
        if self._selected is None:
            self._note({"selected": selected})
        elif self._selected != selected:
            raise DraftUnusable("What the export was begun with was purged in the meantime.", next_step="Begin anew with --restart.")

    def add(self, name: str, make: Callable[[], bytes], *, deflate: bool = True) -> None:
        """A member, made only if it is not there yet."""
        if name in self.entries:
            return
        member, entry = self._append(name, make(), deflate)
        self.entries[name] = entry
        self._note({"member": asdict(member), "entry": asdict(entry)})

    def content(self, name: str) -> bytes:
        """A member that was added before."""
        member = next(one for one in self.members if one.name == name)
        self._file.seek(member.content_offset)
        found = container.unpacked(self._file.read(member.packed_size), member.method, member.size)
        if found is None or hashlib.sha256(found).hexdigest() != self.entries[name].sha256:
            raise DraftUnusable("The draft of the export was damaged.", next_step="Begin anew with --restart.")
        return found

    def names(self, kind: str, ending: str = ".jsonl") -> list[str]:
        """The members of a folder, in order."""
        return [name for name in self.entries if name.startswith(f"{kind}/") and name.endswith(ending)]

    def close_file(self, *members: tuple[str, bytes]) -> None:
        """The last members, stored and not noted in the journal, and the directory; then everything is on the disk."""
        last = [self._append(name, content, deflate=False)[0] for name, content in members]
        self._write(container.directory(self.members), self._end())
        self._file.truncate()
        self._file.flush()
        os.fsync(self._file.fileno())
        del self.members[-len(last) :]

    def _note(self, line: dict[str, Any]) -> None:
        self._journal.write(canonical_json(line) + b"\n")
        self._journal.flush()

    def _append(self, name: str, content: bytes, deflate: bool) -> tuple[Member, MemberEntry]:
        method = DEFLATED if deflate else STORED
        packed = container.packed(content, method)
        if max(len(packed), len(content)) > container.MEMBER_BYTES_MAX or len(self.members) >= container.MEMBERS_MAX:
            raise ExportTooLarge(f"{name} has {len(content)} bytes, or is one member too many.", next_step="Ask for less, or --without-artifacts.")
        member = Member(name, method, zlib.crc32(content), len(packed), len(content), self._end())
        self._write(container.local_header(member) + packed, member.offset)
        self.members.append(member)
        digest = hashlib.sha256(packed).hexdigest() if deflate else None
        return member, MemberEntry(name, len(content), hashlib.sha256(content).hexdigest(), digest)

    def _end(self) -> int:
        return self.members[-1].end if self.members else 0

    def _write(self, content: bytes, place: int) -> None:
        self._file.seek(place)
        self._file.write(content)
        self._file.flush()


def partial_path(target: Path) -> Path:
    """Where the file is while it is made."""
    return target.with_name(f"{target.name}.partial")


def journal_path(target: Path) -> Path:
    """Where its journal is."""
    return target.with_name(f"{target.name}.journal")


@contextmanager
def open_draft(target: Path, beginning: Beginning, *, restart: bool = False) -> Iterator[Draft]:
    """The draft of this target: the one that was begun, if it is of the same question, or a new one."""
    try:
        with journal_path(target).open("a+b") as journal:
            _lock(journal, target)
            if restart:
                journal.truncate(0)
            with _file_of(target) as file:
                begun, noted, stop = _read(journal, file.seek(0, os.SEEK_END))
                if begun is not None and not begun.asks_the_same(beginning):
                    raise DraftUnusable(f"{partial_path(target)} was begun for another question, or in another installation.", next_step=_ANEW)
                journal.truncate(stop)
                if begun is None:
                    journal.write(beginning.canonical() + b"\n")
                    journal.flush()
                yield Draft(file, journal, begun or beginning, noted.members, noted.selected)
    except OSError as error:
        raise ExportUnwritable(
            f"{target} cannot be written: {error.strerror or error}.", next_step="Name a file in a folder that you can write, on a disk with room; then again."
        ) from error


def finish(target: Path) -> None:
    """Give the finished file its name, and forget the journal."""
    try:
        partial_path(target).replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        journal_path(target).unlink(missing_ok=True)
    except OSError as error:
        raise ExportUnwritable(
            f"{target} cannot be put in place: {error.strerror or error}.", next_step="Repeat the command: the draft is complete."
        ) from error


def _file_of(target: Path) -> BinaryIO:
    return os.fdopen(os.open(partial_path(target), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b")


def _lock(journal: IO[bytes], target: Path) -> None:
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DraftUnusable(f"Another process is writing {target} now.", next_step="Wait for it, or name another file.") from error


@dataclass
class _Noted:
    """What a journal tells of a draft."""

    members: list[tuple[Member, MemberEntry]] = field(default_factory=list)
    selected: str | None = None


def _read(journal: IO[bytes], size: int) -> tuple[Beginning | None, _Noted, int]:
    """What was begun, what was noted since, and how much of the journal that is. It ends where the file of this size ends, or a line was cut off."""
    journal.seek(0)
    first, *lines = journal.read().split(b"\n")
    noted = _Noted()
    if not lines:  # not even the first line is whole
        return None, noted, 0
    stop = len(first) + 1
    try:
        beginning = Beginning.model_validate_json(first)
        for line in lines[:-1]:
            document = json.loads(line)
            if "member" in document:
                member = Member(**document["member"])
                if member.end > size:  # the disk lost it
                    break
                noted.members.append((member, MemberEntry(**document["entry"])))
            noted.selected = document.get("selected", noted.selected)
            stop += len(line) + 1
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable() from error
    return beginning, noted, stop


def _unreadable() -> DraftUnusable:
    return DraftUnusable("The journal of the export's draft cannot be read.", next_step="Begin anew with --restart.")
