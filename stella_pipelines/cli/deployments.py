"""`stella plan` and `stella rollback`: what would change on each target, and the way back."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output, styled
from stella_pipelines.cli.promotions import ReasonOption
from stella_pipelines.cli.releases import ReleaseArgument, identity_of
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.plan import ComponentChange, Plan

EnvironmentArgument = Annotated[str, typer.Argument(metavar="ENVIRONMENT")]


def register(app: typer.Typer) -> None:
    """Add the deployment commands to the root."""
    app.command()(plan)
    app.command()(rollback)


def plan(
    context: typer.Context,
    release: ReleaseArgument,
    to: Annotated[str, typer.Option("--to", metavar="ENVIRONMENT", help="The environment to look at.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a promotion would change on each target, from what the targets say now. Changes nothing."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        found = asyncio.run(plane.deployments.plan(to, identity_of(plane.releases.find(release))))
    session.output.document({"plan_digest": found.content_digest(), "plan": found.document()})
    _show_plan(session.output, found)


def rollback(
    context: typer.Context,
    environment: EnvironmentArgument,
    to: Annotated[str | None, typer.Option("--to", metavar="RELEASE", help="An earlier proven release (default: the one before).")] = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Bring an environment back to an earlier proven release, now. Works with nothing else running; sealed as evidence."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane, Progress(console=session.output.console, transient=True, disable=session.output.as_json) as progress:
        progress.add_task(f"rolling {environment} back", total=None)
        digest = identity_of(plane.releases.find(to)) if to else None
        record = asyncio.run(plane.deployments.rollback(session.actor(), environment, digest, reason))
    session.output.document(record.document())
    session.output.say(f"{escape(environment)}: {styled(record.state)}, evidence {record.packet_id or 'none'}")
    raise typer.Exit(Exit.DONE if record.state in ("succeeded", "rolled_back") else Exit.FAILED)


def _show_plan(output: Output, plan: Plan) -> None:
    rows = [_row(target.target, change) for target in plan.targets for change in target.components]
    title = f"Plan {plan.content_digest().short} for {escape(plan.environment)}"
    output.table(title, ("TARGET", "COMPONENT", "ACTION", "RUNS NOW", "WANTED", "WAY BACK"), rows)
    output.say(f"Approvals bind to the plan's digest: {plan.content_digest()}")


def _short(digest: Digest | None) -> str:
    return digest.short if digest else "nothing"


def _row(target: str, change: ComponentChange) -> tuple[str, ...]:
    way_back = "the running instance, kept stopped" if change.current_digest else "remove it again"
    cells = (escape(change.name), escape(change.action), _short(change.current_digest), _short(change.wanted_digest), way_back)
    return (f"[bold]{escape(target)}[/]", *cells)
