"""Processes that do not outlive the one that started them. Linux does it in the kernel; elsewhere the supervisor's own stop has to do."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent: int, death_signal: signal.Signals) -> None:
    """Let the kernel send `death_signal` to this process when the thread that started it ends. It survives an exec."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # the parent ended before the kernel knew
