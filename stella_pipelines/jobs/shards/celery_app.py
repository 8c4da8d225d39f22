"""What a Celery worker of ours is started with: `celery -A stella_pipelines.jobs.shards.celery_app worker --concurrency 2`.

It needs the environment of the installation: `STELLA_HOME` with the signing key, `STELLA_DATABASE_URL`, `DAGSTER_HOME`, `STELLA_CELERY_BROKER`. Everything
that a step needs is imported before the worker forks, and a step's process dies with its worker: whatever it was doing is somebody else's then.
"""

from __future__ import annotations

import importlib
import os
import signal

import celery.signals
from dagster_celery.tasks import create_task

from stella_pipelines.jobs.shards.celery_settings import celery_app
from stella_pipelines.jobs.shards.sharding import broker
from stella_pipelines.jobs.submission import DEFINITIONS_MODULE
from stella_pipelines.jobs.warm.mortality import die_with_parent

importlib.import_module(DEFINITIONS_MODULE)  # a step's process would import it, each one again
app = celery_app(broker())
execute_plan = create_task(app)


def _be_mortal(**_: object) -> None:
    die_with_parent(os.getppid(), signal.SIGKILL)


celery.signals.worker_process_init.connect(_be_mortal, weak=False)
