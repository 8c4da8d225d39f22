"""The deployment job of large environments: one step opens the deployment, one step per shard rolls it out, and one ends it.

Each step may run on another machine, and hands the next one nothing but its name: what it needs to know is in the store. The limits of the
rollout hold over all shards, because they share its journal. A step that dies is queued again, and a run that dies is followed by another
one; both go on from the journal. Only in the definitions when the installation has workers.
"""

import asyncio
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources.control_plane import ControlPlaneResource
from resources.signer import SignerResource
from stella_pipelines.deployments.shards import Shard
from stella_pipelines.jobs.deployment import DeploymentRun, logged, raise_unless_succeeded
from stella_pipelines.jobs.failures import failures_explained
from stella_pipelines.jobs.holding import ended_runs, ended_runs_and_steps_of, holder_of, worker_of
from stella_pipelines.jobs.outcomes import tag_deployment
from stella_pipelines.jobs.reporting import deployment_events
from stella_pipelines.jobs.shards.celery_executor import celery_workers
from stella_pipelines.jobs.shards.sharding import wanted_shards
from stella_pipelines.jobs.shards.step_names import STEP_NAMES


@dg.op(
    out=dg.DynamicOut(str, io_manager_key=STEP_NAMES),
    description="Compare the plan with the approved one, ask every gate again, and store what will be put on the targets. One shard after another follows.",
)
def open_deployment(context: dg.OpExecutionContext, config: DeploymentRun, control_plane: ControlPlaneResource) -> Iterator[dg.DynamicOutput[str]]:
    plane = control_plane.plane
    with failures_explained():
        record = asyncio.run(plane.deployments.begin(config.promotion_id, holder_of(context.run_id), gone=ended_runs(context.instance)))
        if record.ended:
            return
        for shard in wanted_shards(plane.environments.current()[0], record.environment) or (Shard(number=1, count=1),):
            name = f"shard_{shard.number}_of_{shard.count}"
            yield dg.DynamicOutput(name, mapping_key=name)


@dg.op(out=dg.Out(str, io_manager_key=STEP_NAMES), description="Roll out on this shard's targets, in step with all other shards, until all are through.")
def roll_out_shard(context: dg.OpExecutionContext, config: DeploymentRun, shard: str, control_plane: ControlPlaneResource) -> str:
    plane = control_plane.plane
    _, number, _, count = shard.split("_")
    with failures_explained():
        work = plane.deployments.roll_out_shard(
            config.promotion_id,
            Shard(number=int(number), count=int(count)),
            holder_of(context.run_id),
            worker_of(context.run_id, f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"),
            logged(context),
            gone=ended_runs(context.instance),
        )
        asyncio.run(work)
    return shard


@dg.op(out=dg.Out(str, io_manager_key=STEP_NAMES), description="Look at every target once more, seal what happened, and show it.")
def close_deployment(
    context: dg.OpExecutionContext, config: DeploymentRun, shards: list[str], control_plane: ControlPlaneResource, signer: SignerResource
) -> Iterator[Any]:
    del shards  # that they have ended is all that is wanted of them
    plane = control_plane.plane
    with failures_explained():
        gone = ended_runs_and_steps_of(context.instance, context.run_id)
        record = asyncio.run(plane.deployments.run(config.promotion_id, holder_of(context.run_id), logged(context), gone=gone))
        tag_deployment(context, record)
        yield from deployment_events(plane, context.instance, signer, record)
    raise_unless_succeeded(record)
    yield dg.Output(record.state.value, metadata={"deployment": record.id, "packet": record.packet_id or "none"})


def _for_every_step(values: dict[str, Any]) -> dict[str, Any]:
    return {"ops": {name: {"config": values} for name in ("open_deployment", "roll_out_shard", "close_deployment")}}


@dg.job(
    executor_def=celery_workers,
    config=dg.ConfigMapping(_for_every_step, config_schema={"promotion_id": str, "attempt": int}),
    description="Carry out an approved promotion with several workers. Started from the outbox where the environment wants shards; resumed like 'deployment'.",
)
def sharded_deployment() -> None:
    close_deployment(open_deployment().map(roll_out_shard).collect())
