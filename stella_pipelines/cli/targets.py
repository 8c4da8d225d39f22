"""`stella take-over`: go on with a target that remembers tokens which this installation's store does not."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.session import ActorOption, JsonOption, session_of


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("take-over")(take_over)


def take_over(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The target's name in the estate.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.", prompt="Why (kept in the audit trail)")],
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Let this installation deploy to a target that was deployed to under higher tokens (DEPLOY_FENCE_AHEAD).

    That happens after the database was restored from a backup, or replaced. First make sure that no other installation deploys to the target:
    two that take it from each other act against each other. Changes nothing on the target.
    """
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        taken = asyncio.run(plane.deployments.take_over(session.actor(), target, reason))
    session.output.document({**taken.document(), "was_needed": taken.was_needed})
    name = f"[bold]{escape(target)}[/]"
    if taken.was_needed:
        session.output.say(f"{name} was deployed to under token {taken.seen_on_target}; the next deployment acts under {taken.token + 1} or higher.")
    else:
        session.output.say(f"{name} has seen no token above {taken.seen_on_target}, and this installation was at {taken.token_before}: nothing was in the way.")
