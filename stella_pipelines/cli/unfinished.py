"""Deployments that have not ended, as `stella status` tells of them: since when, whether somebody works on them, and how they go on."""

from __future__ import annotations

from datetime import datetime

from rich.markup import escape

from stella_pipelines.cli.output import ago, when
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.values import Value
from stella_pipelines.deployments import records
from stella_pipelines.deployments.authority import environment_lease
from stella_pipelines.deployments.model import DeploymentKind, DeploymentRecord
from stella_pipelines.store import leases


class Unfinished(Value):
    """A deployment that has not ended. `next_step` says how it goes on."""

    deployment_id: str
    environment: str
    kind: DeploymentKind
    started_at: Instant
    worked_on: bool
    """Whether somebody holds the environment's lease. One whose process died looks so until the lease ends, half a minute later."""
    next_step: str


def unfinished_in(plane: ControlPlane, environment: str) -> Unfinished | None:
    """The environment's deployment that has not ended."""
    with plane.store.reading() as tx:
        record = records.unfinished(tx, environment)
        if record is None:
            return None
        worked_on = leases.holder(tx, environment_lease(environment), plane.clock.now()) is not None
    return as_unfinished(record, worked_on)


def as_unfinished(record: DeploymentRecord, worked_on: bool) -> Unfinished:
    """A record that has not ended, as it is told of. Pure."""
    return Unfinished(
        deployment_id=record.id,
        environment=record.environment,
        kind=record.kind,
        started_at=record.started_at,
        worked_on=worked_on,
        next_step="It is under way." if worked_on else _way_on(record),
    )


def _way_on(record: DeploymentRecord) -> str:
    """What a person does. All of them also go on by themselves while `stella up` runs; a commanded one must not need it."""
    by_itself = "It goes on by itself while `stella up` runs"
    if record.kind == "promotion":
        return f"{by_itself}; `stella rollback {record.environment}` takes it back."
    return f"{by_itself}, or now with `stella {record.kind} {record.environment}`."


def told(unfinished: Unfinished, now: datetime) -> str:
    """For people."""
    begun = f"begun {when(unfinished.started_at)}, {ago(unfinished.started_at, now)}"
    what = f"[bold]{unfinished.deployment_id}[/] ({unfinished.kind}) into {escape(unfinished.environment)} has not ended, {begun}."
    return f"{what} {escape(unfinished.next_step)}" if unfinished.worked_on else f"{what} [yellow]Nobody works on it.[/] {escape(unfinished.next_step)}"
