"""Where the programs are that an `engines` lab runs. Users' PATH often lacks the sbin folders, where daemons live."""

from __future__ import annotations

import os
import shutil

from stella_pipelines.lab.daemons import search_path
from stella_pipelines.lab.errors import LabUnsupported


def find(*names: str) -> str | None:
    """The first of these programs that is installed."""
    found = (shutil.which(name, path=search_path(os.environ)) for name in names)
    return next((path for path in found if path is not None), None)


def program(*names: str) -> str:
    """The first of these programs; `LabUnsupported` when none is installed."""
    path = find(*names)
    if path is None:
        raise LabUnsupported(f"{names[0]} is not installed.", next_step="Run `make demo`, which installs it, or use the embedded lab (LAB=embedded).")
    return path
