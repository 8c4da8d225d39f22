"""`stella promote`, `approve`, `reject` and `cancel`: a release's way into an environment."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.aftermath import deployment_document
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.following import follow
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import Output, styled
from stella_pipelines.cli.releases import ReleaseArgument, identity_of
from stella_pipelines.cli.running import hint_when_down
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.words import as_words
from stella_pipelines.promotions.errors import IllegalCommand, PromotionMissing
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.promotions.transitions import LIVE
from stella_pipelines.releases.model import ReleaseState

PromotionArgument = Annotated[str, typer.Argument(metavar="PROMOTION", help="The promotion's id (prm_…), or the environment it is for.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", parser=as_words, help="Why; kept in the evidence.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it until it ends or waits for a person.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Stop following after so long (the promotion itself goes on).")]


def register(app: typer.Typer) -> None:
    """Add the promotion commands to the root."""
    app.command()(promote)
    app.command()(approve)
    app.command()(reject)
    app.command()(cancel)


def promote(
    context: typer.Context,
    release: ReleaseArgument,
    to: Annotated[str, typer.Option("--to", metavar="ENVIRONMENT", help="The environment to promote into.")],
    reason: ReasonOption = "",
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 900.0,
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Ask for a release to go into an environment. Its gates decide; `stella up` carries it out."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        require_environment(plane, to)
        record = plane.releases.find(release)
        digest = identity_of(record)
        promotion = plane.promotions.request(session.actor(), environment=to, release_digest=digest, reason=reason)
        session.output.say(f"Requested [bold]{promotion.id}[/]: {escape(promotion.release_label)} → {escape(promotion.environment)}")
        if record.state is ReleaseState.DEPRECATED:
            session.output.hint(f"{record.label} is deprecated.")
        _finish(plane, session.output, promotion, wait, timeout_s)


def approve(
    context: typer.Context,
    promotion: PromotionArgument,
    reason: ReasonOption = "",
    plan: Annotated[str | None, typer.Option("--plan", metavar="DIGEST", help="Approve only if the plan still has this digest.")] = None,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 900.0,
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Approve a waiting promotion. The approval holds for the plan that is shown now, and for no other."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        found = find_promotion(plane, promotion)
        approval = plane.promotions.approve(
            session.actor(), found.id, verdict="approve", reason=reason, plan_digest=Digest(plan) if plan else found.plan_digest
        )
        session.output.say(f"[bold]{escape(approval.actor.name)}[/] approved {found.id} for plan {approval.plan_digest.short}.")
        _finish(plane, session.output, found, wait, timeout_s, past_revision=found.revision)


def reject(
    context: typer.Context,
    promotion: PromotionArgument,
    reason: ReasonOption,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 300.0,
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Reject a waiting promotion. Any rejection by an eligible person ends it."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        found = find_promotion(plane, promotion)
        plane.promotions.approve(session.actor(), found.id, verdict="reject", reason=reason, plan_digest=found.plan_digest)
        session.output.say(f"Rejected {found.id}.")
        _finish(plane, session.output, found, wait, timeout_s, past_revision=found.revision)


def cancel(context: typer.Context, promotion: PromotionArgument, reason: ReasonOption = "", as_json: JsonOption = False, actor: ActorOption = None) -> None:
    """Cancel a promotion that is not deploying yet. Anybody who can use this installation may; who did it is kept in the audit trail.

    What is deploying is taken back with [bold]stella rollback[/].
    """
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        found = find_promotion(plane, promotion)
        try:
            cancelled = plane.promotions.cancel(session.actor(), found.id, reason)
        except IllegalCommand as error:
            raise _too_late(plane.promotions.get(found.id)) from error
    session.output.document(cancelled.document())
    session.output.say(f"{found.id} is {styled(cancelled.state.value)}. Nothing was deployed by it.")


def find_promotion(plane: ControlPlane, text: str) -> Promotion:
    """The promotion with this id, or the live one of the environment with this name."""
    if text.startswith("prm_"):
        return plane.promotions.get(text)
    live = plane.promotions.live(text)
    if live is None:
        require_environment(plane, text)
        raise PromotionMissing(f"Nothing is on its way into {text}.", next_step=f"See its newest promotion with 'stella status {text}'.")
    return live


def _too_late(promotion: Promotion) -> IllegalCommand:
    """The refusal of a cancellation, with what is possible instead."""
    advice = f"Let it end, or take it back with 'stella rollback {promotion.environment}'."
    if promotion.state is not PromotionState.DEPLOYING:
        advice = f"It has ended. See it with 'stella status {promotion.id}'."
    return IllegalCommand(f"Promotion {promotion.id} is {promotion.state}, and only what is not deploying yet can be cancelled.", next_step=advice)


def _finish(plane: ControlPlane, output: Output, promotion: Promotion, wait: bool, timeout_s: float, past_revision: int | None = None) -> None:
    if promotion.state in LIVE:
        hint_when_down(output, plane.settings)
    if not wait:
        output.document(plane.promotions.get(promotion.id).document())
        raise typer.Exit(Exit.DONE)
    followed = follow(plane, output, promotion.id, timeout_s, past_revision)
    deployment = plane.deployments.get(followed.promotion.deployment_id) if followed.promotion.deployment_id else None
    output.document({**followed.promotion.document(), "deployment": deployment_document(plane, deployment) if deployment else None})
    raise typer.Exit(followed.exit)
