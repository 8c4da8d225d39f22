"""The words for why a deployment is not started, or is taken back."""

from __future__ import annotations

from collections.abc import Sequence

from stella_pipelines.core.actor import Actor
from stella_pipelines.deployments.errors import AllowStale, DeploymentAborted, DeploymentUnfinished, PlanDiffers
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.model import DeploymentRecord
from stella_pipelines.deployments.plan import Plan
from stella_pipelines.promotions.promotion import Promotion


def unfinished(other: DeploymentRecord) -> DeploymentUnfinished:
    """Another deployment holds the environment."""
    return DeploymentUnfinished(
        f"Deployment {other.id} ({other.kind}) into {other.environment} has not ended.",
        next_step=f"Let it go on, or take it back with 'stella rollback {other.environment}'.",
    )


def plan_differs(promotion: Promotion, plan: Plan) -> Failure:
    """The plan is not the approved one."""
    error = PlanDiffers(
        f"The plan is {plan.content_digest().short} now, and {promotion.plan_digest.short if promotion.plan_digest else 'none'} was approved.",
        next_step="Nothing to do: the gates are asked again for the new plan. Approvals must be given again.",
    )
    return Failure.of(error)


def allow_stale(objections: Sequence[str]) -> Failure:
    """Gates that allowed the promotion do not any more."""
    error = AllowStale(
        f"It was allowed and is not any more: {' '.join(objections)}",
        next_step="Nothing to do: the gates are asked again. 'stella status' says what they wait for.",
    )
    return Failure.of(error)


def retry_objected(record: DeploymentRecord, objections: Sequence[str]) -> AllowStale:
    """A retry that the environment does not accept at this moment."""
    return AllowStale(
        f"Deployment {record.id} cannot be retried now: {' '.join(objections)}",
        next_step=f"Try again when nothing objects any more, or bring the environment back with 'stella rollback {record.environment}'.",
    )


def aborted(actor: Actor, reason: str) -> Failure:
    """A person wants a deployment back that has not ended."""
    error = DeploymentAborted(
        f"{actor.name} asked for a rollback while the deployment had not ended{': ' + reason if reason else ''}.",
        unchanged="Targets that had not begun were left as they were.",
        next_step="See what each target runs with 'stella status' and the environment's name.",
    )
    return Failure.of(error)
