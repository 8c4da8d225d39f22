"""The run coordinator of `dagster.yaml`: a run that no limit holds back starts at once; one that must wait is queued as Dagster does it.

Dagster's queue is looked at once a second at best, and a promotion would wait there twice. Here whoever submits a run launches it, if the warm
runner is there and neither the number of runs nor a tag's limit stands against it. The rule for limits is Dagster's own.
The limits are orderly queueing, not the lock: two processes that submit at the same moment may pass one together. What must happen once is
held by leases in the store, and the runner bounds its processes itself.
"""

from __future__ import annotations

import os
from typing import Final

from dagster import DagsterEvent, DagsterEventType, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._utils.tags import TagConcurrencyLimitsCounter

from stella_pipelines.jobs.warm.launcher import SOCKET_VARIABLE, WarmRunLauncher
from stella_pipelines.jobs.warm.orders import RunnerAway, ask_standing

AT_WORK: Final = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
"""The states in which Dagster's queue counts a run against its limits."""


class EagerRunCoordinator(QueuedRunCoordinator):
    """Starts what may start; queues the rest."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Launch the run now, or queue it. A run that was submitted before is left to whoever has it."""
        run = context.dagster_run
        if run.status is not DagsterRunStatus.NOT_STARTED or not self._can_launch(run) or self._held_back(run):
            return super().submit_run(context)
        starting = DagsterEvent(event_type_value=DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name)
        self._instance.report_dagster_event(starting, run_id=run.run_id)
        self._instance.run_launcher.launch_run(LaunchRunContext(dagster_run=self._again(run), workspace=context.workspace))
        return self._again(run)

    def _can_launch(self, run: DagsterRun) -> bool:
        """Whether a launch needs nothing that only the daemon has: other launchers than ours ask the workspace for the code's server."""
        return isinstance(self._instance.run_launcher, WarmRunLauncher) and _runner_is_there(run.run_id)

    def _held_back(self, run: DagsterRun) -> bool:
        """Whether a limit of `dagster.yaml` stands against one more run like this."""
        queue = self._instance.get_concurrency_config().run_queue_config
        if queue is None:
            return False
        at_work = [record.dagster_run for record in self._instance.get_run_records(RunsFilter(statuses=AT_WORK))]
        full = queue.max_concurrent_runs != -1 and len(at_work) >= queue.max_concurrent_runs
        return full or TagConcurrencyLimitsCounter(queue.tag_concurrency_limits, at_work).is_blocked(run)

    def _again(self, run: DagsterRun) -> DagsterRun:
        found = self._instance.get_run_by_id(run.run_id)
        if found is None:
            raise LookupError(f"run {run.run_id} was deleted while it was submitted")
        return found


def _runner_is_there(run_id: str) -> bool:
    try:
        ask_standing(os.environ.get(SOCKET_VARIABLE), run_id)
    except (RunnerAway, OSError, ValueError):
        return False
    return True
