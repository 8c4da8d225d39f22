"""Which process is meant, so that nobody takes another one for it: a process id alone is given out again, and again on every machine.

A process is named by its id and by when it began, counted in the kernel's ticks since the machine started; exec keeps both. A place is the
set of processes in which such a name means something: one start of one machine, one namespace of process ids in it.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from stella_pipelines.core.values import Value


class Place(Value):
    """Where a process name means something. Empty words: the system does not say."""

    host: str
    boot: str
    namespace: str


class ProcessName(Value):
    """One process of one place."""

    pid: int
    began: int


class Whereabouts(Value):
    """Where a run is carried out: by which runner, and in which process, if it had begun when this was written."""

    place: Place
    runner: ProcessName
    run: ProcessName | None


def here() -> Place:
    """The place of this process."""
    return Place(host=socket.gethostname(), boot=_text("/proc/sys/kernel/random/boot_id"), namespace=_link("/proc/self/ns/pid"))


def named(pid: int) -> ProcessName:
    """The name of a process that exists now."""
    _, began = state_and_beginning(pid)
    return ProcessName(pid=pid, began=began)


def is_alive(name: ProcessName) -> bool:
    """Whether this very process still does anything. One that ended and that nobody has waited for does not."""
    try:
        state, began = state_and_beginning(name.pid)
    except OSError:
        return False
    return state not in ("Z", "X") and began == name.began


def state_and_beginning(pid: int) -> tuple[str, int]:
    """From /proc: the process's state letter, and when it began, in ticks since the machine started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # the name before may hold spaces and brackets
    return fields[0], int(fields[19])


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
