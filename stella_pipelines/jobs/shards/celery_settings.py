"""How our Celery app is set up, the same for the run that queues steps and for the workers that do them.

A task is acknowledged when a worker begins it: one whose worker dies is not delivered again by the broker, whose clocks know nothing of a
rollout's length. The run itself notices it and queues the step anew (`celery_executor.py`).
"""

from __future__ import annotations

from typing import Any, Final

from celery import Celery
from dagster._core.execution.retries import RetryMode
from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app

from stella_pipelines.core.settings import InvalidSetting
from stella_pipelines.jobs.shards.sharding import BROKER_VARIABLE, Broker

SETTINGS: Final[dict[str, Any]] = {
    "task_acks_late": False,
    "worker_prefetch_multiplier": 1,
    "broker_connection_retry_on_startup": True,
    "worker_hijack_root_logger": False,
    "result_expires": 24 * 3600,
}


def executor_arguments(broker: Broker | None) -> dict[str, Any]:
    """What Dagster's Celery executor is made of."""
    if broker is None:
        raise InvalidSetting(f"{BROKER_VARIABLE} is not set, so there is no queue of steps.", next_step="Give the worker the environment of the installation.")
    return {"retries": RetryMode.DISABLED, "broker": broker.url, "backend": broker.results, "config_source": SETTINGS}


def celery_app(broker: Broker | None) -> Celery:
    """The app."""
    return make_app(CeleryExecutor(**executor_arguments(broker)).app_args())
