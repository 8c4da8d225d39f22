"""Every job and every resource by name, for the definitions and for tests."""

from __future__ import annotations

from typing import Any

import dagster as dg

from resources.control_plane import ControlPlaneResource
from resources.registry import RegistryResource
from resources.signer import SignerResource
from resources.targets import DockerTargetResource, ProcessTargetResource
from stella_pipelines.jobs import deployment, operator, promotion, resumption, retention
from stella_pipelines.jobs.shards.sharding import broker
from stella_pipelines.jobs.shards.step_names import STEP_NAMES, step_names


def all_jobs() -> list[dg.JobDefinition]:
    """Those that the outbox starts, and those that an operator launches."""
    return [
        promotion.promotion,
        deployment.deployment,
        resumption.resumption,
        operator.request_promotion,
        operator.approve_promotion,
        operator.reject_promotion,
        operator.cancel_promotion,
        operator.continue_promotion,
        operator.rollback_environment,
        operator.retry_deployment,
        operator.inspect_target,
        retention.retention,
        *_sharded(),
    ]


def _sharded() -> list[dg.JobDefinition]:
    """The job whose steps go to Celery workers, where there are any; without them, Celery need not even be installed."""
    if broker() is None:
        return []
    from stella_pipelines.jobs.shards.sharded_deployment import sharded_deployment

    return [sharded_deployment]


def all_resources(control_plane: ControlPlaneResource | None = None) -> dict[str, Any]:
    """The resources, all of them on one control plane."""
    plane = control_plane or ControlPlaneResource()
    return {
        # Steps hand each other a few words inside one process; what lasts is in the store.
        "io_manager": dg.mem_io_manager,
        **({STEP_NAMES: step_names} if broker() is not None else {}),
        "control_plane": plane,
        "registry": RegistryResource(control_plane=plane),
        "docker_targets": DockerTargetResource(control_plane=plane),
        "process_targets": ProcessTargetResource(control_plane=plane),
        "signer": SignerResource(control_plane=plane),
    }
