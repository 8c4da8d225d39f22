"""`stella promote`, `approve`, `reject` and `cancel`: a release's way into an environment."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.following import EXITS, follow
from stella_pipelines.cli.output import Output, styled
from stella_pipelines.cli.releases import ReleaseArgument, identity_of
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.promotions.promotion import Promotion

PromotionArgument = Annotated[str, typer.Argument(metavar="PROMOTION", help="The promotion's id (prm_…), or the environment it is for.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the evidence.")]
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
        digest = identity_of(plane.releases.find(release))
        promotion = plane.promotions.request(session.actor(), environment=to, release_digest=digest, reason=reason)
        session.output.say(f"Requested [bold]{promotion.id}[/]: {escape(promotion.release_label)} → {escape(promotion.environment)}")
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
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the evidence.")],
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
    """Cancel a promotion that is not deploying yet."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        found = find_promotion(plane, promotion)
        cancelled = plane.promotions.cancel(session.actor(), found.id, reason)
    session.output.document(cancelled.document())
    session.output.say(f"{found.id} is {styled(cancelled.state.value)}. Nothing was deployed by it.")


def find_promotion(plane: ControlPlane, text: str) -> Promotion:
    """The promotion with this id, or the live one of the environment with this name."""
    if text.startswith("prm_"):
        return plane.promotions.get(text)
    live = plane.promotions.live(text)
    return live if live is not None else plane.promotions.get(text)


def _finish(plane: ControlPlane, output: Output, promotion: Promotion, wait: bool, timeout_s: float, past_revision: int | None = None) -> None:
    ended = follow(plane, output, promotion.id, timeout_s, past_revision) if wait else plane.promotions.get(promotion.id)
    output.document(ended.document())
    raise typer.Exit(EXITS[ended.state] if wait else Exit.DONE)
