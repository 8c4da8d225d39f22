"""What this machine's kernel lets us do, found out by doing it: make a bridge, enter namespaces, use control groups, mount an overlay.

Every probe removes what it made. Asking is more reliable than reading versions: containers and sandboxes take rights away silently.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Final

from stella_pipelines.lab.programs import find

_PROBE_TIMEOUT_S: Final = 10.0
_CGROUPS: Final = Path("/sys/fs/cgroup")


def bridge_problem() -> str | None:
    """Why no bridge can be made here; None when one can."""
    name = f"stprobe{os.getpid()}"[:15]
    problem = _problem("ip", "link", "add", name, "type", "bridge")
    if problem is None:
        problem = _problem("ip", "link", "del", name)
    return f"no network bridge can be made ({problem})" if problem else None


def namespace_problem() -> str | None:
    """Why containers cannot have namespaces and mounts here; None when they can."""
    problem = _problem("unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/tmp")  # noqa: S108  # in a mount namespace of its own
    return f"no namespaces can be made ({problem})" if problem else None


def cgroup_problem(root: Path = _CGROUPS) -> str | None:
    """Why containers cannot have control groups here; None when they can."""
    is_v2 = (root / "cgroup.controllers").is_file()
    folder = root if is_v2 else root / "devices"
    if not folder.is_dir():
        return f"no control groups are mounted at {root}"
    if not os.access(folder, os.W_OK):
        return f"{folder} is read-only, so containers cannot have control groups"
    return _delegation_problem(root) if is_v2 else None


def _delegation_problem(root: Path) -> str | None:
    """Version 2 hands a controller down only from a group without processes; inside of many containers the top has some."""
    enabled = set((root / "cgroup.subtree_control").read_text().split())
    lacking = sorted({"cpu", "memory", "pids"} & set((root / "cgroup.controllers").read_text().split()) - enabled)
    if not lacking:
        return None
    try:
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in lacking))  # what starting a container does, too
    except OSError as error:
        return f"control groups cannot be handed to containers ({error.strerror})"
    return None


def storage_driver(folder: Path) -> str:
    """`overlay2` where the folder's file system carries an overlay, else `vfs`: slower, and works everywhere."""
    probe = folder / "overlay-probe"
    for part in ("lower", "upper", "work", "merged"):
        (probe / part).mkdir(parents=True)
    options = f"lowerdir={probe}/lower,upperdir={probe}/upper,workdir={probe}/work"
    # In a mount namespace of its own, so that nothing is left mounted whatever happens.
    problem = _problem("unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, str(probe / "merged"))
    return "overlay2" if problem is None else "vfs"


def image_platform() -> str:
    """This machine in the words of OCI images."""
    machine = platform.machine().lower()
    return f"linux/{ {'x86_64': 'amd64', 'amd64': 'amd64', 'aarch64': 'arm64', 'arm64': 'arm64'}.get(machine, machine) }"


def _problem(name: str, *words: str) -> str | None:
    """What a command says when it fails; None when it works."""
    path = find(name)
    if path is None:
        return f"{name} is not installed"
    try:
        done = subprocess.run([path, *words], capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"{name} does not end"
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{name} ended with {done.returncode}"
