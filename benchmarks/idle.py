"""`idle_cpu` and `idle_memory_*`: what `stella up` costs while nothing happens, next to one core.

Read from /proc for every process of the installation, over a minute that begins after everything has come to rest. Memory is the proportional set size:
pages that processes share are counted once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from benchmarks.installation import running
from benchmarks.row import Row

REST_S: Final = 30.0
MEASURED_S: Final = 60.0
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
CORE_SHARE_LIMIT: Final = 5.0
MIB: Final = 1024


def idle() -> list[Row]:
    """Per process: the share of a core in percent, and the memory in MiB. The limits are 5 % of a core and 1 GiB for all of them."""
    with running():
        time.sleep(REST_S)
        before = {pid: _cpu_s(pid) for pid in _processes()}
        time.sleep(MEASURED_S)
        names = _processes()
        shares = {pid: 100.0 * (_cpu_s(pid) - before.get(pid, 0.0)) / MEASURED_S for pid in names}
        memory = {pid: _memory_mib(pid) for pid in names}
    rows = [Row("idle_cpu", sum(shares.values()), "% of a core", "the limit", CORE_SHARE_LIMIT)]
    rows += [Row(f"idle_cpu_{name}", shares[pid], "% of a core", "all of it", sum(shares.values())) for pid, name in names.items()]
    rows += [Row("idle_memory", sum(memory.values()), "MiB", "one GiB", float(MIB))]
    return rows + [Row(f"idle_memory_{name}", memory[pid], "MiB", "all of it", sum(memory.values())) for pid, name in names.items()]


def _processes() -> dict[int, str]:
    """Every process below this one, by what it is: `stella up` runs in a thread here, so its processes are our children."""
    parents = {pid: int(_stat(pid)[1]) for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()) if _stat(pid)}
    found, newest = set(), {os.getpid()}
    while newest:
        newest = {pid for pid, parent in parents.items() if parent in newest}
        found |= newest
    return {pid: _name(pid) for pid in sorted(found)}


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, …; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cpu_s(pid: int) -> float:
    """User and system time of the process and of its children that ended: a process that is replaced must not hide."""
    fields = _stat(pid)
    return sum(int(value) for value in fields[11:15]) / TICKS_PER_S if fields else 0.0


def _memory_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / MIB


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    known = {"stella_pipelines.jobs.warm.runner": "runner", "stella_pipelines.supervisor.submitter": "submitter", "dagster_webserver": "webserver"}
    known |= {"dagster._daemon": "daemon", "code-server": "code_server", "grpc": "code", "api": "code"}
    return next((known[word] for word in words if word in known), words[0].rsplit("/", 1)[-1])
