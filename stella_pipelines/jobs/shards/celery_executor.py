"""Dagster's Celery executor with one difference: a step whose worker died is queued again, so that the run comes to its end.

Uses `core_celery_execution_loop` and `_submit_task` of dagster-celery, which are not public; tests/dagster/test_dagster_celery.py pins them.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import dagster as dg
from celery.exceptions import WorkerLostError
from dagster import multiple_process_executor_requirements
from dagster._core.events import DagsterEvent
from dagster._serdes import deserialize_value
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import CeleryExecutor, _submit_task

from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import Settings
from stella_pipelines.deployments.authority import environment_lease
from stella_pipelines.jobs.shards.celery_settings import executor_arguments
from stella_pipelines.jobs.shards.resubmission import PersistentStep, Together
from stella_pipelines.jobs.shards.sharding import broker
from stella_pipelines.store import leases


class PersistentCeleryExecutor(CeleryExecutor):
    """Steps on Celery workers, of which any may die."""

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[DagsterEvent]:
        """The run's events, until every step has ended."""
        groups: defaultdict[str, Together] = defaultdict(Together)

        def submit(app: Any, context: Any, step: Any, queue: str, priority: int, known_state: Any) -> PersistentStep:
            return PersistentStep(
                lambda: _Noting(_submit_task(app, context, step, queue, priority, known_state), groups[step.op_name]),
                together=groups[step.op_name],
                worker_died=lambda result: isinstance(result, _Noting) and result.worker_died(),
                nobody_at_work=lambda: nobody_at_work(plan_context.run_config["promotion_id"]),
                now_s=time.monotonic,
                tell=lambda words: plan_context.log.warning(f"{step.key}: {words}"),
            )

        events: Iterator[DagsterEvent] = core_celery_execution_loop(plan_context, execution_plan, step_execution_fn=submit)
        return events


class _Noting:
    """A Celery result that tells the other steps of its group when its step has ended well."""

    def __init__(self, result: Any, group: Together) -> None:
        self._result = result
        self._group = group

    def ready(self) -> bool:
        if not self._result.ready():
            return False
        if self._result.successful() and any(deserialize_value(event, DagsterEvent).is_step_success for event in self._result.result):
            self._group.one_ended(time.monotonic())
        return True

    def worker_died(self) -> bool:
        return isinstance(self._result.result, WorkerLostError)

    def get(self) -> Any:
        return self._result.get()

    def revoke(self) -> None:
        self._result.revoke()


def nobody_at_work(promotion_id: str) -> bool:
    """Whether no process has the environment: whoever works on a deployment renews its lease. Not knowing is False."""
    try:
        with open_control_plane(Settings.from_environ(os.environ), create=False) as plane, plane.store.reading() as tx:
            lease = environment_lease(plane.promotions.get(promotion_id).environment)
            return leases.holder(tx, lease, plane.clock.now()) is None
    except StellaError:
        return False


@dg.executor(name="celery_workers", config_schema={}, requirements=multiple_process_executor_requirements())
def celery_workers(context: dg.InitExecutorContext) -> PersistentCeleryExecutor:
    """Steps on the workers that listen to `STELLA_CELERY_BROKER`."""
    del context
    return PersistentCeleryExecutor(**executor_arguments(broker()))  # type: ignore[no-untyped-call]  # its parent has no annotations
