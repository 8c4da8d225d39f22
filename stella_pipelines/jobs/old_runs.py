"""Deletes Dagster's runs that ended long ago: events, compute logs, and last of all the run, so that one that was interrupted is found again.

Which runs must stay is the caller's word; one that has not ended stays in any case. A run that is gone is not started again: the outbox row
that wanted it says `submitted`, and a row is submitted once (`submission.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

import dagster as dg

RUNS_PER_PASS_MAX: Final = 5_000
"""About half a minute, at 5 ms a run; more in a day than a large installation starts (docs/growth.md)."""
BATCH: Final = 200
ENDED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def delete_old_runs(instance: dg.DagsterInstance, now: datetime, days: int, kept: Collection[str], *, dry_run: bool = False) -> int:
    """Delete the oldest runs that ended more than `days` ago, up to a limit; how many there were. With `dry_run` they are only counted."""
    if dry_run:
        return len(_oldest(instance, now, days, kept, RUNS_PER_PASS_MAX))
    deleted = 0
    while deleted < RUNS_PER_PASS_MAX:
        batch = _oldest(instance, now, days, kept, min(BATCH, RUNS_PER_PASS_MAX - deleted))
        for run_id in batch:
            _delete(instance, run_id)
        deleted += len(batch)
        if len(batch) < BATCH:
            break
    return deleted


def _oldest(instance: dg.DagsterInstance, now: datetime, days: int, kept: Collection[str], limit: int) -> Sequence[str]:
    """The oldest runs that may go. Asks for as many more as there are kept ones, which may all be among the oldest."""
    ended = dg.RunsFilter(statuses=list(ENDED), updated_before=now - timedelta(days=days))
    found = instance.get_run_records(ended, limit=limit + len(kept), ascending=True)
    return [record.dagster_run.run_id for record in found if record.dagster_run.run_id not in kept][:limit]


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    # Before the run, and not after it as `delete_run` does: the events of a run that is not there any more would be found by nobody.
    instance.event_log_storage.delete_events(run_id)
    instance.delete_run(run_id)
