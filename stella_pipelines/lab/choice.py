"""Which kind of lab to use: the real one wherever it can run, otherwise the embedded one, and always the reason in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

from stella_pipelines.lab.claims import LabKind
from stella_pipelines.lab.errors import LabUnsupported
from stella_pipelines.lab.kernel import bridge_problem, cgroup_problem, namespace_problem
from stella_pipelines.lab.programs import find
from stella_pipelines.lab.registry import PROGRAMS as REGISTRY_PROGRAMS

VARIABLE: Final = "LAB"
_PROGRAMS: Final = (("dockerd",), ("containerd",), ("runc",), ("docker-proxy",), REGISTRY_PROGRAMS, ("sshd",), ("busybox",), ("ip",))


def choose_lab(environ: Mapping[str, str], problem: Callable[[], str | None] | None = None) -> tuple[LabKind, str]:
    """The kind of lab for this machine and the reason. `LAB=embedded` or `LAB=engines` decides; the latter fails where it cannot run."""
    wanted, ask = environ.get(VARIABLE, "").strip(), problem or engines_problem
    if wanted == "embedded":
        return "embedded", "LAB=embedded asks for it."
    if wanted not in ("", "engines"):
        raise LabUnsupported(f"LAB={wanted} is no kind of lab.", next_step="Write LAB=engines, LAB=embedded, or leave it out.")
    why_not = ask()
    if why_not is None:
        return "engines", "real Docker Engines, SSH servers and a real registry, started for this and removed afterwards."
    if wanted == "engines":
        raise LabUnsupported(f"The engines lab cannot run here: {why_not}.", next_step="Change that, or use LAB=embedded.")
    return "embedded", f"the engines lab cannot run here: {why_not}."


def engines_problem() -> str | None:
    """Why real engines cannot run here; None when they can."""
    if sys.platform != "linux":
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root (try `sudo make demo`)"
    missing = [names[0] for names in _PROGRAMS if find(*names) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    return cgroup_problem() or namespace_problem() or bridge_problem()
