"""Which processes of this machine belong to a lab. Looks, and touches nothing.

A process is the lab's when it is a known daemon that names the lab's folder or one of its addresses, when it runs in the lab's
control group (a container), or when it is a Python program out of a host folder of the embedded lab. A shell or an editor that
somebody opened on the lab's files is not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from stella_pipelines.lab.addresses import LabAddresses

_DAEMONS: Final = frozenset({"dockerd", "containerd", "containerd-shim-runc-v2", "docker-proxy", "docker-registry", "registry", "runc", "sshd"})
_PYTHON: Final = re.compile(r"python[0-9.]*")
_PROC: Final = Path("/proc")


def strays(folder: str, addresses: LabAddresses) -> frozenset[int]:
    """The ids of the lab's processes."""
    if not _PROC.is_dir():
        return frozenset()
    return frozenset(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and _belongs(entry, folder, addresses))


def _belongs(process: Path, folder: str, addresses: LabAddresses) -> bool:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        if not words:
            return False  # a kernel thread, or a process that has ended and waits for its parent
        return is_named_by(words, folder, addresses) or is_contained((process / "cgroup").read_text(), addresses)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # it ended meanwhile, or is another user's


def is_contained(cgroups: str, addresses: LabAddresses) -> bool:
    """Whether a process with these control groups (lines of `number:controllers:path`) runs in one of the lab's containers."""
    return any(f"{addresses.cgroup}/" in line.split(":", 2)[-1] for line in cgroups.splitlines())


def is_named_by(words: list[str], folder: str, addresses: LabAddresses) -> bool:
    """Whether a command line says that its process is the lab's."""
    # sshd writes one title over all of its words: `sshd: /usr/sbin/sshd -D -f /folder/… [listener] 0 of 10-100 startups`.
    parts = [part for word in words for part in word.split(" ")]
    program = Path(parts[0].rstrip(":")).name
    if program in _DAEMONS:
        return any(part in addresses.all or _is_below(part, folder) for part in parts[1:])
    return _PYTHON.fullmatch(program) is not None and any(_is_below(part, f"{folder}/hosts") for part in parts[1:])


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
