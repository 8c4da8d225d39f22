"""What the sensors share: how a tick submits the outbox, and how it says what it found."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final

import dagster as dg

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.jobs.recovery import Recovered
from stella_pipelines.jobs.submission import Submitter, submit_pending

INTERVAL_S: Final = 30
"""The submitter of `stella up` is there within a second. Every tick costs the daemon, the code server and the database, also when there is nothing to do."""


def submit(context: dg.SensorEvaluationContext, plane: ControlPlane) -> list[str]:
    """Submit what the outbox holds, with the jobs of this very code location."""
    repository, location = context.repository_def, context.code_location_origin
    if repository is None or location is None:
        raise RuntimeError("a sensor ticks inside a code location")
    holder = f"sensor/{socket.gethostname()}/{os.getpid()}"
    return submit_pending(plane, Submitter(context.instance, repository.get_job, location, holder))


def summary(submitted: Sequence[str], recovered: Sequence[Recovered], resumed: Sequence[str] = ()) -> dg.SkipReason:
    """What a tick did. It requests no run from Dagster: the runs were created under their own ids already."""
    lines = [f"{found.promotion_id}: {found.reason}" for found in recovered]
    lines += resumed
    lines += [f"submitted run {run_id}" for run_id in submitted]
    return dg.SkipReason("; ".join(lines) or "Everything that was decided is on its way.")
