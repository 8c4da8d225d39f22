"""`stella override …`: two people overrule one gate's word on one plan, and somebody reviews it afterwards."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.output import when
from stella_pipelines.cli.pages import LIMIT_DEFAULT, LimitOption
from stella_pipelines.cli.promotions import PromotionArgument, ReasonOption, find_promotion
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.promotions.overrides import Override

app = typer.Typer(help="Overrides: two people overrule a gate, for one plan and for a few hours.", no_args_is_help=True)
OverrideArgument = Annotated[str, typer.Argument(metavar="OVERRIDE", help="The override's id (ovr_…).")]


@app.command()
def ask(
    context: typer.Context,
    promotion: PromotionArgument,
    gate: Annotated[str, typer.Option("--gate", metavar="NAME", help="The gate whose word is to be overruled.")],
    reason: ReasonOption,
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Ask for an override. Nothing is overruled until a second person confirms it."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        override = plane.promotions.overriding.ask(session.actor(), find_promotion(plane, promotion).id, gate, reason)
    session.output.document(override.document())
    session.output.say(f"Asked for [bold]{override.id}[/]: {escape(gate)} says {override.overruled.verdict} for plan {override.overruled.plan_digest.short}.")
    for line in override.overruled.reasons:
        session.output.say(f"  {escape(line)}")
    session.output.say(f"Another person confirms it before {when(override.expires_at)}: stella override confirm {override.id}")


@app.command()
def confirm(context: typer.Context, override: OverrideArgument, as_json: JsonOption = False, actor: ActorOption = None) -> None:
    """Confirm what somebody else asked for. It is sealed, and counts until it expires."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        done = plane.promotions.overriding.confirm(session.actor(), override)
    session.output.document(done.document())
    about = done.overruled
    session.output.say(
        f"[bold]{escape(about.gate)}[/] of {escape(about.environment)} is overruled for {escape(about.release.name)} until {when(done.expires_at)}."
    )
    session.output.say(f"  sealed as {done.packet_id}. A promotion that was rejected stays so: request it again.")
    session.output.say(f"  It has to be reviewed afterwards: stella override review {done.id}")


@app.command()
def review(context: typer.Context, override: OverrideArgument, reason: ReasonOption, as_json: JsonOption = False, actor: ActorOption = None) -> None:
    """Say what came of the review, which closes the task that an override left."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        done = plane.promotions.overriding.review(session.actor(), override, reason)
    session.output.document(done.document())
    session.output.say(f"{done.id} is reviewed.")


@app.command("list")
def list_overrides(
    context: typer.Context,
    environment: Annotated[str | None, typer.Option("--environment", "-e", metavar="ENVIRONMENT", help="Only overrides for this environment.")] = None,
    to_review: Annotated[bool, typer.Option("--to-review", help="Only those that nobody has reviewed yet.")] = False,
    limit: LimitOption = LIMIT_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List overrides, newest first."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        found = plane.promotions.overrides(environment, limit, to_review=to_review)
    session.output.document([one.document() for one in found])
    rows = [
        (
            one.id,
            escape(one.overruled.environment),
            escape(one.overruled.release.name),
            escape(one.overruled.gate),
            _people(one),
            when(one.expires_at),
            _task(one),
        )
        for one in found
    ]
    session.output.table("", ("OVERRIDE", "ENVIRONMENT", "RELEASE", "GATE", "BY", "EXPIRES", "REVIEW"), rows, ids=("OVERRIDE",))


def _people(override: Override) -> str:
    confirmed = override.confirmed_by.name if override.confirmed_by else "nobody yet"
    return escape(f"{override.asked_by.name}, {confirmed}")


def _task(override: Override) -> str:
    if override.reviewed_by is not None:
        return escape(f"by {override.reviewed_by.name}")
    return "to do" if override.to_review else "–"
