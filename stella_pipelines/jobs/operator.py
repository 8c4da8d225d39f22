"""What an operator launches from the Dagster UI: one op, one use case, with a form (`forms.py`) that explains itself.

The UI has no login yet, so the name in `actor` is what somebody typed, and is recorded as given through Dagster.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final, Literal

import dagster as dg

from assets.checks import target_rows
from assets.events import full_digests, gates_table, table
from resources.control_plane import ControlPlaneResource
from resources.signer import SignerResource
from resources.targets import DockerTargetResource, ProcessTargetResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.model import TargetObservation
from stella_pipelines.environments.errors import TargetUnknown
from stella_pipelines.jobs import recovery
from stella_pipelines.jobs.deployment import failed, raise_unless_succeeded
from stella_pipelines.jobs.failures import failures_explained
from stella_pipelines.jobs.forms import (
    PromotionName,
    PromotionRequest,
    PromotionWord,
    RetryRequest,
    RollbackRequest,
    TargetName,
    Verdict,
    check_filled_in,
    form,
)
from stella_pipelines.jobs.holding import ended_runs, holder_of
from stella_pipelines.jobs.outcomes import runs_of, tag_deployment, tag_outcome, tag_promotion
from stella_pipelines.jobs.reporting import deployment_events
from stella_pipelines.promotions.errors import ReleaseNotPromotable
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.releases.model import ReleaseRecord

_IN_PROCESS: Final[dict[str, Any]] = {"executor_def": dg.in_process_executor}


@dg.op(out=dg.Out(str), description="Request the promotion; its gates are asked by a run of `promotion` that starts right after.")
def ask_for_promotion(context: dg.OpExecutionContext, config: PromotionRequest, control_plane: ControlPlaneResource) -> str:
    plane = control_plane.plane
    with failures_explained():
        check_filled_in(config)
        release = plane.releases.find(config.release)
        promotion = plane.promotions.request(_actor(config.actor), environment=config.environment, release_digest=_identity(release), reason=config.reason)
    _show(context, plane, promotion, "requested")
    return promotion.id


@dg.op(out=dg.Out(str), description="Approve a waiting promotion for its plan; its gates are asked again right after.")
def approve(context: dg.OpExecutionContext, config: Verdict, control_plane: ControlPlaneResource) -> str:
    return _say(context, config, control_plane.plane, "approve")


@dg.op(out=dg.Out(str), description="Reject a waiting promotion. Any rejection by an eligible person ends it.")
def reject(context: dg.OpExecutionContext, config: Verdict, control_plane: ControlPlaneResource) -> str:
    return _say(context, config, control_plane.plane, "reject")


@dg.op(out=dg.Out(str), description="Withdraw a promotion that is not deploying yet.")
def cancel(context: dg.OpExecutionContext, config: PromotionWord, control_plane: ControlPlaneResource) -> str:
    plane = control_plane.plane
    with failures_explained():
        check_filled_in(config)
        promotion = plane.promotions.cancel(_actor(config.actor), find_promotion(plane, config.promotion).id, config.reason)
    _show(context, plane, promotion, "cancelled")
    return promotion.id


@dg.op(out=dg.Out(str), description="Start a new run for a promotion whose run was deleted, or died too often to be followed.")
def continue_run(context: dg.OpExecutionContext, config: PromotionName, control_plane: ControlPlaneResource) -> str:
    with failures_explained():
        check_filled_in(config)
        found = find_promotion(control_plane.plane, config.promotion)
        recovered = recovery.continue_promotion(control_plane.plane, found.id, _actor(config.actor))
    tag_promotion(context, "continued", found)
    context.log.info(recovered.reason)
    return recovered.promotion_id


@dg.op(out=dg.Out(str), description="Roll the environment back under the same leases and with the same evidence as a deployment.")
def roll_back(context: dg.OpExecutionContext, config: RollbackRequest, control_plane: ControlPlaneResource, signer: SignerResource) -> Iterator[Any]:
    plane = control_plane.plane
    with failures_explained():
        check_filled_in(config)
        digest = _identity(plane.releases.find(config.to)) if config.to else None
        holder, gone = holder_of(context.run_id), ended_runs(context.instance)
        record = asyncio.run(plane.deployments.rollback(_actor(config.actor), config.environment, digest, config.reason, holder=holder, gone=gone))
        tag_deployment(context, record)
        yield from deployment_events(plane, context.instance, signer, record)
    if not record.brought_back:
        raise failed(record)
    yield dg.Output(record.id, metadata={"packet": record.packet_id or "none"})


@dg.op(out=dg.Out(str), description="Bring what the deployment was to bring to the targets on which it did not succeed, and to no other.")
def retry_failed(context: dg.OpExecutionContext, config: RetryRequest, control_plane: ControlPlaneResource, signer: SignerResource) -> Iterator[Any]:
    plane = control_plane.plane
    with failures_explained():
        check_filled_in(config)
        holder, gone = holder_of(context.run_id), ended_runs(context.instance)
        record = asyncio.run(plane.deployments.retry_failed(_actor(config.actor), config.deployment, config.reason, holder=holder, gone=gone))
        tag_deployment(context, record)
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
        check_filled_in(config)
        kinds = {target.name: target.kind for target in control_plane.plane.environments.current()[0].targets}
        if config.target not in kinds:
            raise TargetUnknown(f"There is no target {config.target!r}.", next_step=f"Targets: {', '.join(sorted(kinds)) or 'none'}.")
        targets = docker_targets if kinds[config.target] == docker_targets.kind else process_targets
        observation = asyncio.run(targets.observe(config.target))
    rows = target_rows([TargetObservation(target=config.target, observation=observation)])
    shown = [{name: value for name, value in row.items() if name != "as released"} for row in rows]
    context.add_output_metadata({"runs": dg.MetadataValue.md(table(shown)), "digests": full_digests(shown)})
    tag_outcome(context, "looked")
    return config.target


def _say(context: dg.OpExecutionContext, config: Verdict, plane: ControlPlane, verdict: Literal["approve", "reject"]) -> str:
    with failures_explained():
        check_filled_in(config)
        found = find_promotion(plane, config.promotion)
        plan = Digest(config.plan_digest) if config.plan_digest else found.plan_digest
        plane.promotions.approve(_actor(config.actor), found.id, verdict=verdict, reason=config.reason, plan_digest=plan)
    _show(context, plane, plane.promotions.get(found.id), "approval_given" if verdict == "approve" else "rejection_given")
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


def _show(context: dg.OpExecutionContext, plane: ControlPlane, promotion: Promotion, outcome: str) -> None:
    tag_promotion(context, outcome, promotion)
    explanation = plane.promotions.explain(promotion.id)
    context.log.info(explanation.summary)
    context.add_output_metadata(
        {
            "promotion": promotion.id,
            "its runs": runs_of(promotion.id),
            "state": promotion.state.value,
            "what would change it": dg.MetadataValue.md("\n".join(f"- {line}" for line in explanation.would_change) or "–"),
            "gates": dg.MetadataValue.md(gates_table(plane.promotions.results(promotion.id))),
        }
    )


@dg.job(
    config=form("ask_for_promotion", PromotionRequest),
    description="Ask for a release to go into an environment. Its gates decide; what they allow is deployed.",
    **_IN_PROCESS,
)
def request_promotion() -> None:
    ask_for_promotion()


@dg.job(
    config=form("approve", Verdict), description="Approve a waiting promotion. The approval holds for its plan as it is now, and for no other.", **_IN_PROCESS
)
def approve_promotion() -> None:
    approve()


@dg.job(config=form("reject", Verdict), description="Reject a waiting promotion.", **_IN_PROCESS)
def reject_promotion() -> None:
    reject()


@dg.job(config=form("cancel", PromotionWord), description="Withdraw a promotion that is not deploying yet.", **_IN_PROCESS)
def cancel_promotion() -> None:
    cancel()


@dg.job(config=form("continue_run", PromotionName), description="Start a new run for a live promotion whose run was deleted or died too often.", **_IN_PROCESS)
def continue_promotion() -> None:
    continue_run()


@dg.job(
    config=form("roll_back", RollbackRequest), description="Bring an environment back to an earlier proven release, now. Sealed as evidence.", **_IN_PROCESS
)
def rollback_environment() -> None:
    roll_back()


@dg.job(
    config=form("retry_failed", RetryRequest),
    description="Try a deployment again on the targets on which it did not succeed, with what was approved for them.",
    **_IN_PROCESS,
)
def retry_deployment() -> None:
    retry_failed()


@dg.job(config=form("look_at_target", TargetName), description="Ask one target what it runs. Changes nothing.", **_IN_PROCESS)
def inspect_target() -> None:
    look_at_target()
