"""The deployment job: one op that starts or resumes the rollout of an approved promotion, and shows what the targets proved.

Fan-out over targets happens inside the op, in the engine, under leases and with a journal. A run that is killed anywhere is followed by
another one, which goes on from the journal.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from resources.control_plane import ControlPlaneResource
from resources.signer import SignerResource
from stella_pipelines.deployments.engine import ProgressListener
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, Progress
from stella_pipelines.jobs.failures import failures_explained
from stella_pipelines.jobs.holding import ended_runs, holder_of
from stella_pipelines.jobs.outcomes import tag_deployment
from stella_pipelines.jobs.reporting import deployment_events
from stella_pipelines.jobs.shards.sharding import why_unsharded


class DeploymentRun(dg.Config):
    """Which deployment this run carries out. The outbox fills it in; asking by hand for one that ended changes nothing."""

    promotion_id: str = Field(description="The approved promotion's id (prm_…).")
    attempt: int = Field(ge=1, description="Which run of it; a later one resumes from the journal.")


@dg.op(out=dg.Out(str), description="Compare the plan with the approved one, prepare every target, roll out, observe, and seal what happened.")
def roll_out(context: dg.OpExecutionContext, config: DeploymentRun, control_plane: ControlPlaneResource, signer: SignerResource) -> Iterator[Any]:
    plane = control_plane.plane
    with failures_explained():
        gone = ended_runs(context.instance)
        alone = why_unsharded(plane, config.promotion_id)
        if alone is not None:
            context.log.info(alone)
        record = asyncio.run(plane.deployments.run(config.promotion_id, holder_of(context.run_id), logged(context), gone=gone))
        tag_deployment(context, record)
        yield from deployment_events(plane, context.instance, signer, record)
    raise_unless_succeeded(record)
    yield dg.Output(record.state.value, metadata={"deployment": record.id, "packet": record.packet_id or "none"})


def logged(context: dg.OpExecutionContext) -> ProgressListener:
    """A listener that writes each step into the run's log."""

    def report(progress: Progress) -> None:
        where = f"{progress.target} {progress.step}" if progress.target else progress.phase
        line = f"[{progress.settled}/{progress.total}] {where} {progress.event} {progress.message}".rstrip()
        (context.log.error if progress.event == "failed" else context.log.info)(line)

    return report


def raise_unless_succeeded(record: DeploymentRecord) -> None:
    """A deployment that did not succeed is a red run, although everything about it is decided, sealed and reported."""
    if record.state is not DeploymentState.SUCCEEDED:
        raise failed(record)


def failed(record: DeploymentRecord) -> dg.Failure:
    """The failure of a run whose deployment did not bring what was asked for."""
    metadata: dict[str, Any] = {"deployment": record.id, "packet": record.packet_id or "none", "state": record.state.value}
    if record.failure is not None:
        metadata |= {name.replace("_", " "): str(value) for name, value in record.failure.document().items() if value is not None}
    why = f" {record.failure.code}: {record.failure.what} {record.failure.next_step}" if record.failure else ""
    return dg.Failure(description=f"Deployment {record.id} into {record.environment}: {record.state}.{why}", metadata=metadata, allow_retries=False)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Carry out an approved promotion. Started from the outbox, one at a time per environment; resumed by a new run when a run dies.",
)
def deployment() -> None:
    roll_out()
