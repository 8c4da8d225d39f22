"""Retries and rollbacks whose process died: nobody's promotion waits for them, so a run of their own carries them to their end.

A deployment that a promotion wanted is followed by `recovery.py`. One that a person commanded (at the command line, or from the UI) is
followed here, once its lease has ended: half an environment must not wait for somebody to notice.
"""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import dagster as dg
from pydantic import Field

from resources.control_plane import ControlPlaneResource
from resources.signer import SignerResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.actor import SYSTEM
from stella_pipelines.deployments import records
from stella_pipelines.deployments.model import DeploymentRecord
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.jobs.backoff import rest_after
from stella_pipelines.jobs.deployment import logged, raise_unless_succeeded
from stella_pipelines.jobs.failures import failures_explained
from stella_pipelines.jobs.holding import ended_runs, holder_of
from stella_pipelines.jobs.outcomes import tag_deployment
from stella_pipelines.jobs.reporting import deployment_events
from stella_pipelines.store import leases, outbox
from stella_pipelines.store.database import Transaction

KIND: Final = "resumption"


class ResumptionRun(dg.Config):
    """Which deployment this run carries on. The outbox fills it in; asking by hand for one that ended changes nothing."""

    deployment_id: str = Field(description="The id of the retry or rollback (dep_…).")
    attempt: int = Field(ge=1, description="Which run of it.")


@dg.op(out=dg.Out(str), description="Go on with a retry or a rollback from its journal, under new leases, and seal what happened.")
def carry_on(context: dg.OpExecutionContext, config: ResumptionRun, control_plane: ControlPlaneResource, signer: SignerResource) -> Iterator[Any]:
    plane = control_plane.plane
    with failures_explained():
        resumed = plane.deployments.resume(config.deployment_id, holder_of(context.run_id), logged(context), gone=ended_runs(context.instance))
        record = asyncio.run(resumed)
        tag_deployment(context, record)
        yield from deployment_events(plane, context.instance, signer, record)
    raise_unless_succeeded(record)
    yield dg.Output(record.state.value, metadata={"deployment": record.id, "packet": record.packet_id or "none"})


@dg.job(
    executor_def=dg.in_process_executor,
    description="Carry a retry or a rollback to its end whose process died. Started from the outbox once its lease has ended.",
)
def resumption() -> None:
    carry_on()


def resume_commanded(plane: ControlPlane, instance: dg.DagsterInstance) -> list[str]:
    """Want a run for every commanded deployment that has not ended and that nobody works on; a line for each."""
    return [line for record in plane.deployments.unfinished() if record.kind != "promotion" and (line := _want_run(plane, instance, record))]


def _want_run(plane: ControlPlane, instance: dg.DagsterInstance, record: DeploymentRecord) -> str | None:
    now = plane.clock.now()
    with plane.store.writing() as tx:
        record = records.get(tx, record.id)
        if record.ended:
            return None  # since it was listed
        if leases.holder(tx, f"environment/{record.environment}", now) is not None:
            return None
        newest = outbox.latest(tx, KIND, record.id)
        if newest is not None and not _ended(instance, newest):
            return None
        if newest is not None and now - newest.created_at < rest_after(newest.attempt):
            return None
        attempt = newest.attempt + 1 if newest else 1
        outbox.enqueue(tx, KIND, record.id, attempt, {"environment": record.environment}, plane.identifiers.new("out", now), now)
        _enter(tx, plane, record, now)
    return f"{record.kind} {record.id} of {record.environment} goes on: nobody works on it"


def _enter(tx: Transaction, plane: ControlPlane, record: DeploymentRecord, now: datetime) -> None:
    """The deployment stays as it is, which its entry says."""
    unchanged = row_digest(records.deployment_row(record))
    audit.record(
        tx,
        entry_id=plane.identifiers.new("aud", now),
        at=now,
        actor=SYSTEM,
        action="deployment.resumption_wanted",
        subject=record.id,
        environment=record.environment,
        before=unchanged,
        after=unchanged,
        reason="nobody works on it",
    )


def _ended(instance: dg.DagsterInstance, row: outbox.OutboxRow) -> bool:
    """Whether the run of a row is over. A run that somebody deleted is followed by nothing: that was a person's decision."""
    run = instance.get_run_by_id(row.run_id) if row.run_id else None
    return run is not None and run.is_finished
