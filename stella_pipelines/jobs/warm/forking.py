"""Whether this system can fork runs from a warm process, and if not, why. Pure; where it cannot, Dagster's own launcher is used.

`STELLA_RUNNER=off` is for operators who want Dagster's own launcher, whatever the system can.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Mapping
from typing import Final

from stella_pipelines.core.values import Value

SWITCH_VARIABLE: Final = "STELLA_RUNNER"
OFF: Final = ("off", "0", "no", "false")


class System(Value):
    """What the runner needs of a system."""

    platform: str
    forks: bool
    ties_children: bool
    """prctl: a run dies with its runner, so that a run which is reported dead is dead."""
    names_callers: bool
    """SO_PEERCRED: nobody but the own account gives orders."""


def this_system() -> System:
    """What this one has."""
    return System(
        platform=sys.platform,
        forks=hasattr(os, "fork"),
        ties_children=sys.platform == "linux" and hasattr(ctypes.CDLL(None), "prctl"),
        names_callers=hasattr(socket, "SO_PEERCRED"),
    )


def why_not(system: System, environ: Mapping[str, str]) -> str | None:
    """Why runs are not forked here; None when they are."""
    if environ.get(SWITCH_VARIABLE, "").strip().lower() in OFF:
        return f"{SWITCH_VARIABLE}={environ[SWITCH_VARIABLE]} switches it off"
    if not system.forks:
        return f"{system.platform} has no fork"
    if system.platform != "linux" or not system.ties_children:
        return f"{system.platform} cannot end a run together with its runner (no prctl)"
    if not system.names_callers:
        return f"{system.platform} does not say whose process gives an order (no SO_PEERCRED)"
    return None
