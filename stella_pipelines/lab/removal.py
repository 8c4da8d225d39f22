"""Remove a lab, whoever started it and however it ended: processes, mounts, bridges, control groups, then its folder.

There is one way for a clean end, a failed start and an orphan, so that the rare cases are exercised all the time. Nothing in a lab
is worth a graceful stop: it is killed. Only what provably belongs to the lab is touched: it names the lab's folder or addresses, or
lives in the lab's control group.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from stella_pipelines.lab.addresses import HOSTS_MAX, LabAddresses
from stella_pipelines.lab.claims import LabRecord, claims_folder, orphans
from stella_pipelines.lab.daemons import search_path
from stella_pipelines.lab.errors import LabNotRemoved
from stella_pipelines.lab.strays import strays

REMOVAL_TIMEOUT_S: Final = 20.0
"""How long killed processes may take to be gone, and mounts to be free."""
_CGROUPS: Final = Path("/sys/fs/cgroup")
_SHIM_SOCKETS: Final = Path("/run/containerd/s")


def sweep() -> tuple[LabRecord, ...]:
    """Remove every lab of this user whose owner is dead. Labs that are in use are left alone.

    One that cannot be removed keeps its number and its record, and is told about after the others are gone.
    """
    swept, stuck = [], None
    for claim, record in orphans(claims_folder()):
        try:
            remove(record)
            claim.clear()
            swept.append(record)
        except LabNotRemoved as error:
            stuck = error
        finally:
            claim.release()
    if stuck is not None:
        raise stuck
    return tuple(swept)


def remove(record: LabRecord) -> None:
    """Remove everything that the record describes. Removing what is gone already is fine."""
    folder, addresses = Path(record.folder), LabAddresses(record.number)
    _kill_strays(record, addresses)
    if record.kind == "engines":
        _remove_shim_sockets(folder)
        _unmount(folder)
        _remove_bridges(addresses)
        _remove_cgroups(addresses)
    _remove_folder(folder)


def _kill_strays(record: LabRecord, addresses: LabAddresses) -> None:
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    while found := strays(record.folder, addresses):
        if time.monotonic() > deadline:
            raise _stuck(f"processes {sorted(found)}")
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.005)


def _remove_shim_sockets(folder: Path) -> None:
    """containerd's shims keep their sockets outside of our folder; each wrote down where."""
    for note in folder.glob("hosts/*/containerd/state/io.containerd.runtime.v2.task/*/*/address"):
        socket = Path(note.read_text().strip().removeprefix("unix://"))
        if socket.parent == _SHIM_SOCKETS:
            socket.unlink(missing_ok=True)


def _unmount(folder: Path) -> None:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # The kernel writes a blank in a mount point as \040; we never make such folders, so no line of ours needs unescaping.
    ours = sorted((mount for mount in mounts if mount == str(folder) or mount.startswith(f"{folder}/")), reverse=True)
    if ours:
        _run("umount", "--lazy", *ours)


def _remove_bridges(addresses: LabAddresses) -> None:
    present = [name for index in range(HOSTS_MAX) if Path("/sys/class/net", name := addresses.bridge(index)).exists()]
    if present:
        _run("ip", "-batch", "-", text="".join(f"link del {name}\n" for name in present))


def _remove_cgroups(addresses: LabAddresses) -> None:
    name = addresses.cgroup.removeprefix("/")
    for top in [_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")]:
        for folder, _, _ in os.walk(top, topdown=False):
            _remove_cgroup(Path(folder))


def _remove_cgroup(folder: Path) -> None:
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    while folder.exists():
        try:
            folder.rmdir()
        except OSError as error:  # busy for a moment after the last process was killed
            if time.monotonic() > deadline:
                raise _stuck(f"the control group {folder}") from error
            time.sleep(0.005)


def _remove_folder(folder: Path) -> None:
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError as error:  # a process that is being killed may still have added a file
            if time.monotonic() > deadline:
                raise _stuck(f"the folder {folder} ({error.strerror})") from error
            time.sleep(0.02)


def _run(*words: str, text: str | None = None) -> None:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=REMOVAL_TIMEOUT_S, env={"PATH": search_path(os.environ)})
    if done.returncode != 0:
        raise _stuck(f"what `{words[0]}` should remove ({done.stderr.strip()})")


def _stuck(what: str) -> LabNotRemoved:
    return LabNotRemoved(
        f"The lab cannot be removed completely: {what} still there.", unchanged="The rest is gone.", next_step="Run `python -m stella_pipelines.lab sweep`."
    )
