"""The runner's socket file: made private from its first moment, and made again when somebody removes or replaces it.

A name that is gone disturbs nobody who is connected, and no run; it only keeps new callers away, who would call living runs dead.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from stella_pipelines.core.values import Value

BACKLOG = 128


class Bound(Value):
    """Which file a listening socket was bound to."""

    device: int
    inode: int


class Door:
    """A listening socket and the file that leads to it."""

    def __init__(self, path: str, listener: socket.socket, bound: Bound) -> None:
        self._path = Path(path)
        self._listener = listener
        self.bound = bound

    @classmethod
    def opened(cls, path: str) -> Door:
        """Listen at `path`, in the place of whatever is there."""
        return cls(path, *_listening(Path(path)))

    @classmethod
    def adopted(cls, path: str, descriptor: int, bound: Bound) -> Door:
        """Go on with a socket that another program of this process opened."""
        listener = socket.socket(fileno=descriptor)
        listener.set_inheritable(False)
        return cls(path, listener, bound)

    def fileno(self) -> int:
        """For waiting."""
        return self._listener.fileno()

    def waiting(self) -> Iterator[socket.socket]:
        """The callers who wait, each once."""
        yield from _accepted(self._listener)

    def reopened(self) -> Iterator[socket.socket]:
        """Listen again if the file is not ours any more; those who still came through the old one are the answer. `OSError`: not possible now."""
        if self._is_ours():
            return
        old = self._listener
        if self._path.is_dir():  # which a file cannot replace
            self._path.rename(self._path.with_name(self._path.name + ".old"))
        self._listener, self.bound = _listening(self._path)
        yield from _accepted(old)
        old.close()

    def close(self) -> None:
        """Close this process's side of it; the file stays."""
        self._listener.close()

    def _is_ours(self) -> bool:
        try:
            found = self._path.stat(follow_symlinks=False)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.bound.device, self.bound.inode)


def _listening(path: Path) -> tuple[socket.socket, Bound]:
    """Bind under another name first: the real one never leads nowhere, and never to a socket that is open to others."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(new))
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    found = new.stat()
    new.replace(path)
    return listener, Bound(device=found.st_dev, inode=found.st_ino)


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    with contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            yield connection
