"""Who holds the leases of a deployment that a Dagster run carries out: the run, and nobody else under its name."""

from __future__ import annotations

from typing import Final

import dagster as dg

from stella_pipelines.deployments.authority import Gone

_PREFIX: Final = "run/"


def holder_of(run_id: str) -> str:
    """The holder's name of a run. Two runs never share one: a second run of the same promotion must not take the first one's leases."""
    return f"{_PREFIX}{run_id}"


def worker_of(run_id: str, process: str) -> str:
    """The name under which one process of a run, of several that share a deployment, has its targets."""
    return f"{holder_of(run_id)}/{process}"


def ended_runs(instance: dg.DagsterInstance) -> Gone:
    """Whether a holder is a run that Dagster says has ended: the run that follows a dead one takes over at once.

    A run that Dagster does not know (any more) may still be at work somewhere, so its lease has to end by itself.
    """

    def gone(holder: str) -> bool:
        run = instance.get_run_by_id(holder.removeprefix(_PREFIX).split("/")[0]) if holder.startswith(_PREFIX) else None
        return run is not None and run.is_finished

    return gone


def ended_runs_and_steps_of(instance: dg.DagsterInstance, run_id: str) -> Gone:
    """The same, for the step of a run that Dagster begins when all others that share the work have ended."""
    ended, own = ended_runs(instance), worker_of(run_id, "")
    return lambda holder: holder.startswith(own) or ended(holder)
