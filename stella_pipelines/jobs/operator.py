"""What an operator launches from the Dagster UI: one op, one use case, with a form that explains itself.

The UI has no login yet, so the name in `actor` is what somebody typed, and is recorded as given through Dagster.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final, Literal

import dagster as dg
from pydantic import Field

from assets.checks import target_rows
from assets.events import gates_table, table
from resources.control_plane import ControlPlaneResource
from resources.signer import SignerResource
from resources.targets import DockerTargetResource, ProcessTargetResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.words import Words
from stella_pipelines.deployments.model import TargetObservation
from stella_pipelines.environments.errors import TargetUnknown
from stella_pipelines.jobs import recovery
from stella_pipelines.jobs.deployment import failed, raise_unless_succeeded
from stella_pipelines.jobs.failures import failures_explained
from stella_pipelines.jobs.holding import ended_runs, holder_of
from stella_pipelines.jobs.reporting import deployment_events
from stella_pipelines.promotions.errors import ReleaseNotPromotable
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.releases.model import ReleaseRecord

_ACTOR: Final = "Who asks: your name as it stands in the approval groups. It is recorded, and not checked, as long as the UI has no login."
_PROMOTION: Final = "The promotion's id (prm_…), or the name of the environment whose live promotion is meant."
_IN_PROCESS: Final[dict[str, Any]] = {"executor_def": dg.in_process_executor}


class PromotionRequest(dg.Config):
    """Ask for a release to go into an environment."""

    release: str = Field(description="name-version, name:version, sha256:… or the partition key of a finalized release.")
    environment: str = Field(description="The environment to promote into.")
    actor: str = Field(description=_ACTOR)
    reason: Words = Field(default="", description="Why; kept in the evidence.")


class PromotionWord(dg.Config):
    """Say something about a promotion."""

    promotion: str = Field(description=_PROMOTION)
    actor: str = Field(description=_ACTOR)
    reason: Words = Field(default="", description="Why; kept in the evidence.")
    plan_digest: str = Field(default="", description="Approve only if the plan still has this digest; empty: the plan that is waiting now.")


class RollbackRequest(dg.Config):
    """Bring an environment back to an earlier proven release, now."""

    environment: str = Field(description="The environment to roll back.")
    actor: str = Field(description=_ACTOR)
    reason: Words = Field(description="Why; kept in the evidence.")
    to: str = Field(default="", description="An earlier proven release; empty: the one before.")


class PromotionName(dg.Config):
    """Name a promotion."""

    promotion: str = Field(description=_PROMOTION)
    actor: str = Field(description=_ACTOR)


class RetryRequest(dg.Config):
    """Try a deployment again on the targets on which it did not succeed."""

    deployment: str = Field(description="The deployment's id (dep_…), as its run and 'stella status' show it.")
    actor: str = Field(description=_ACTOR)
    reason: Words = Field(default="", description="Why; kept in the evidence.")


class TargetName(dg.Config):
    """Name a target."""

    target: str = Field(description="The target's name in the estate.")


@dg.op(out=dg.Out(str), description="Request the promotion; its gates are asked by a run of `promotion` that starts right after.")
def ask_for_promotion(context: dg.OpExecutionContext, config: PromotionRequest, control_plane: ControlPlaneResource) -> str:
    plane = control_plane.plane
    with failures_explained():
        release = plane.releases.find(config.release)
        promotion = plane.promotions.request(_actor(config.actor), environment=config.environment, release_digest=_identity(release), reason=config.reason)
    _show(context, plane, promotion)
    return promotion.id


@dg.op(out=dg.Out(str), description="Approve a waiting promotion for its plan; its gates are asked again right after.")
def approve(context: dg.OpExecutionContext, config: PromotionWord, control_plane: ControlPlaneResource) -> str:
    return _say(context, config, control_plane.plane, "approve")


@dg.op(out=dg.Out(str), description="Reject a waiting promotion. Any rejection by an eligible person ends it.")
def reject(context: dg.OpExecutionContext, config: PromotionWord, control_plane: ControlPlaneResource) -> str:
    return _say(context, config, control_plane.plane, "reject")


@dg.op(out=dg.Out(str), description="Withdraw a promotion that is not deploying yet.")
def cancel(context: dg.OpExecutionContext, config: PromotionWord, control_plane: ControlPlaneResource) -> str:
    plane = control_plane.plane
    with failures_explained():
        promotion = plane.promotions.cancel(_actor(config.actor), find_promotion(plane, config.promotion).id, config.reason)
    _show(context, plane, promotion)
    return promotion.id


@dg.op(out=dg.Out(str), description="Start a new run for a promotion whose run was deleted, or died too often to be followed.")
def continue_run(context: dg.OpExecutionContext, config: PromotionName, control_plane: ControlPlaneResource) -> str:
    with failures_explained():
        found = find_promotion(control_plane.plane, config.promotion)
        recovered = recovery.continue_promotion(control_plane.plane, found.id, _actor(config.actor))
    context.log.info(recovered.reason)
    return recovered.promotion_id


@dg.op(out=dg.Out(str), description="Roll the environment back under the same leases and with the same evidence as a deployment.")
def roll_back(context: dg.OpExecutionContext, config: RollbackRequest, control_plane: ControlPlaneResource, signer: SignerResource) -> Iterator[Any]:
    plane = control_plane.plane
    with failures_explained():
        digest = _identity(plane.releases.find(config.to)) if config.to else None
        holder, gone = holder_of(context.run_id), ended_runs(context.instance)
        record = asyncio.run(plane.deployments.rollback(_actor(config.actor), config.environment, digest, config.reason, holder=holder, gone=gone))
        yield from deployment_events(plane, context.instance, signer, record)
    if not record.brought_back:
        raise failed(record)
    yield dg.Output(record.id, metadata={"packet": record.packet_id or "none"})


@dg.op(out=dg.Out(str), description="Bring what the deployment was to bring to the targets on which it did not succeed, and to no other.")
def retry_failed(context: dg.OpExecutionContext, config: RetryRequest, control_plane: ControlPlaneResource, signer: SignerResource) -> Iterator[Any]:
    plane = control_plane.plane
    with failures_explained():
        holder, gone = holder_of(context.run_id), ended_runs(context.instance)
        record = asyncio.run(plane.deployments.retry_failed(_actor(config.actor), config.deployment, config.reason, holder=holder, gone=gone))
        yield from deployment_events(plane, context.instance, signer, record)
    raise_unless_succeeded(record)
    yield dg.Output(record.id, metadata={"packet": record.packet_id or "none"})


@dg.op(out=dg.Out(str), description="Ask one target what it runs. Changes nothing.")
def look_at_target(
    context: dg.OpExecutionContext,
    config: TargetName,
    control_plane: ControlPlaneResource,
    docker_targets: DockerTargetResource,
    process_targets: ProcessTargetResource,
) -> str:
    with failures_explained():
        kinds = {target.name: target.kind for target in control_plane.plane.environments.current()[0].targets}
        if config.target not in kinds:
            raise TargetUnknown(f"There is no target {config.target!r}.", next_step=f"Targets: {', '.join(sorted(kinds)) or 'none'}.")
        targets = docker_targets if kinds[config.target] == docker_targets.kind else process_targets
        observation = asyncio.run(targets.observe(config.target))
    rows = target_rows([TargetObservation(target=config.target, observation=observation)])
    shown = [{name: value for name, value in row.items() if name != "as released"} for row in rows]
    context.add_output_metadata({"runs": dg.MetadataValue.md(table(shown))})
    return config.target


def _say(context: dg.OpExecutionContext, config: PromotionWord, plane: ControlPlane, verdict: Literal["approve", "reject"]) -> str:
    with failures_explained():
        found = find_promotion(plane, config.promotion)
        plan = Digest(config.plan_digest) if config.plan_digest else found.plan_digest
        plane.promotions.approve(_actor(config.actor), found.id, verdict=verdict, reason=config.reason, plan_digest=plan)
    _show(context, plane, plane.promotions.get(found.id))
    return found.id


def find_promotion(plane: ControlPlane, text: str) -> Promotion:
    """The promotion with this id, or the live one of the environment with this name."""
    live = None if text.startswith("prm_") else plane.promotions.live(text)
    return live or plane.promotions.get(text)


def _identity(release: ReleaseRecord) -> Digest:
    if release.digest is None:
        raise ReleaseNotPromotable(f"{release.label} is a draft and has no identity yet.", next_step="Finalize it first: stella release finalize.")
    return release.digest


def _actor(name: str) -> Actor:
    return Actor(name=name, via="dagster")


def _show(context: dg.OpExecutionContext, plane: ControlPlane, promotion: Promotion) -> None:
    explanation = plane.promotions.explain(promotion.id)
    context.log.info(explanation.summary)
    context.add_output_metadata(
        {
            "promotion": promotion.id,
            "state": promotion.state.value,
            "what would change it": dg.MetadataValue.md("\n".join(f"- {line}" for line in explanation.would_change) or "–"),
            "gates": dg.MetadataValue.md(gates_table(plane.promotions.results(promotion.id))),
        }
    )


@dg.job(description="Ask for a release to go into an environment. Its gates decide; what they allow is deployed.", **_IN_PROCESS)
def request_promotion() -> None:
    ask_for_promotion()


@dg.job(description="Approve a waiting promotion. The approval holds for its plan as it is now, and for no other.", **_IN_PROCESS)
def approve_promotion() -> None:
    approve()


@dg.job(description="Reject a waiting promotion.", **_IN_PROCESS)
def reject_promotion() -> None:
    reject()


@dg.job(description="Withdraw a promotion that is not deploying yet.", **_IN_PROCESS)
def cancel_promotion() -> None:
    cancel()


@dg.job(description="Start a new run for a live promotion whose run was deleted or died too often.", **_IN_PROCESS)
def continue_promotion() -> None:
    continue_run()


@dg.job(description="Bring an environment back to an earlier proven release, now. Sealed as evidence.", **_IN_PROCESS)
def rollback_environment() -> None:
    roll_back()


@dg.job(description="Try a deployment again on the targets on which it did not succeed, with what was approved for them.", **_IN_PROCESS)
def retry_deployment() -> None:
    retry_failed()


@dg.job(description="Ask one target what it runs. Changes nothing.", **_IN_PROCESS)
def inspect_target() -> None:
    look_at_target()
