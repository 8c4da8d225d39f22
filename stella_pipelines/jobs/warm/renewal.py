"""How the runner becomes a new program in the same process: when it must, and how it hands over what it has.

exec keeps the process id and the children, and the kernel's promise that they die with it; so running runs go on undisturbed. The book of
runs, the listening socket and the callers who still wait for an answer go along, in a file in memory. Orders wait in the socket meanwhile.
Stop signals wait too: they are blocked before, and let through by the new program once it can take them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

from pydantic import ValidationError

from stella_pipelines.core.values import Value
from stella_pipelines.jobs.warm.children import Book
from stella_pipelines.jobs.warm.listening import Bound
from stella_pipelines.jobs.warm.orders import Order

GROWTH_BYTES_MAX: Final = 128 * 1024 * 1024
FORKS_MAX: Final = 5_000
PROBE_TIMEOUT_S: Final = 30.0
_VARIABLE: Final = "STELLA_RUNNER_HANDOVER"
CORE = "stella_pipelines.jobs.warm.runner"
"""What looks after the children while the rest cannot be imported."""


class Held(Value):
    """A caller who waits for the answer to an order."""

    descriptor: int
    order: Order


class Handover(Value):
    """What the next program of this process needs."""

    listener: int
    bound: Bound
    book: Book
    held: tuple[Held, ...]
    why: str


def outgrown(forks: int, resident_bytes: int, resident_bytes_at_start: int) -> str | None:
    """Why a runner should renew itself although nothing changed. Pure."""
    if forks >= FORKS_MAX:
        return f"it has forked {forks} runs"
    grown = resident_bytes - resident_bytes_at_start
    return f"it has grown by {grown // 2**20} MiB" if grown > GROWTH_BYTES_MAX else None


def resident_bytes() -> int:
    """The memory of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def why_the_core_does_not_import() -> str | None:
    """Whether a fresh interpreter can import the runner: with an error there, nobody would be left to look after the children."""
    try:
        probe = subprocess.run([sys.executable, "-c", f"import {CORE}"], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if probe.returncode == 0 else (probe.stderr.strip().splitlines() or [f"it ended with {probe.returncode}"])[-1]


def become_new(handover: Handover) -> NoReturn:
    """Run this program's command again in this process; the caller has blocked the stop signals. Raises `OSError` when nothing came of it."""
    descriptors = [handover.listener, *(held.descriptor for held in handover.held)]
    with open(os.memfd_create("stella-runner"), "w+b", buffering=0) as memory:
        memory.write(handover.model_dump_json().encode())
        memory.seek(0)
        _inheritable([memory.fileno(), *descriptors], True)
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            environ = {**os.environ, _VARIABLE: str(memory.fileno())}
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606  # our own command line
        finally:
            _inheritable(descriptors, False)


def _inheritable(descriptors: list[int], inheritable: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, inheritable)


def received() -> Handover | None:
    """What the program before this one handed over. None: there was none, or it spoke another language; its runs go on without us."""
    descriptor = os.environ.pop(_VARIABLE, None)
    if descriptor is None:
        return None
    with open(int(descriptor), "rb") as memory:
        written = memory.read()
    try:
        return Handover.model_validate_json(written)
    except ValidationError as error:
        print(f"the runner before this one left what cannot be read, so nobody looks after its runs: {error}", flush=True)
        return None
