"""Whether deployments are split into shards, and how the workers that do them are reached.

An environment says that it wants shards (`targets_per_shard`), an installation says that it has workers (`STELLA_CELERY_BROKER`). Where only one
of the two is so, a deployment is one process's work, as always: shards say who does the work, and never what may be done.
Celery is imported by nobody here, so that an installation without it does not need it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.settings import InvalidSetting
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.shards import Shard, shards_for
from stella_pipelines.environments.model import Estate

BROKER_VARIABLE: Final = "STELLA_CELERY_BROKER"
RESULTS_VARIABLE: Final = "STELLA_CELERY_RESULTS"
SHARDED_JOB: Final = "sharded_deployment"
_BROKERS: Final = ("redis://", "rediss://", "redis+socket://", "amqp://", "amqps://", "pyamqp://")
_NO_STORE_OF_ITS_OWN: Final = "rpc://"
"""RabbitMQ keeps no results: they are sent back to the run that waits for them."""


class Broker(Value):
    """Where steps are queued, and where their results are left."""

    url: str
    results: str


def broker(environ: Mapping[str, str] = os.environ) -> Broker | None:
    """The installation's broker, if it has one."""
    url = environ.get(BROKER_VARIABLE) or ""
    if not url:
        return None
    if not url.startswith(_BROKERS):
        raise InvalidSetting(
            f"{BROKER_VARIABLE} starts with {url.split(':', 1)[0]!r}, which is not a broker that is used here.",
            next_step=f"Write an address that begins with one of {', '.join(_BROKERS)}, or leave it out.",
        )
    return Broker(url=url, results=environ.get(RESULTS_VARIABLE) or (url if url.startswith("redis") else _NO_STORE_OF_ITS_OWN))


def wanted_shards(estate: Estate, environment: str) -> tuple[Shard, ...]:
    """The shards of a deployment into the environment; none when it is one process's work."""
    declared = estate.environment(environment)
    if declared is None or declared.targets_per_shard is None:
        return ()
    shards = shards_for(len(estate.targets_of(environment)), declared.targets_per_shard)
    return shards if len(shards) > 1 else ()


def job_of(plane: ControlPlane, kind: str, environment: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The job that carries out what an outbox row wants: the one that is named like its kind, or the sharded one.

    Which of the two an attempt gets makes no difference to the deployment: both go on from the same journal.
    """
    if kind != "deployment" or environment is None or broker(environ) is None:
        return kind
    return SHARDED_JOB if wanted_shards(plane.environments.current()[0], environment) else kind


def why_unsharded(plane: ControlPlane, promotion_id: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """For the log of a run that does alone what the estate wants to be split."""
    environment = plane.promotions.get(promotion_id).environment
    if broker(environ) is not None or not wanted_shards(plane.environments.current()[0], environment):
        return None
    return f"{environment} wants shards, and this installation has no workers ({BROKER_VARIABLE} is not set): one process does all of it, in the same limits."
