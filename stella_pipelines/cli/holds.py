"""`stella evidence hold …`: legal holds, which keep evidence from being purged."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from stella_pipelines.cli.moments import moment_of
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import when
from stella_pipelines.cli.releases import identity_of
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.listing import newest_sequences
from stella_pipelines.evidence.retention.errors import HoldScopeInvalid
from stella_pipelines.evidence.retention.scopes import Hold, OfDigest, OfEnvironment, OfEverything, OfRelease, OfSpan, Scope
from stella_pipelines.evidence.streams import environment_stream

app = typer.Typer(help="Legal holds: what they cover is never purged.", no_args_is_help=True)
HoldArgument = Annotated[str, typer.Argument(metavar="HOLD", help="The hold's id (lgh_…).")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why; it stands in the audit trail.")]


def register(evidence: typer.Typer) -> None:
    """Add the commands to `stella evidence`."""
    evidence.add_typer(app, name="hold")


@app.command()
def add(
    context: typer.Context,
    reason: ReasonOption,
    environment: Annotated[str | None, typer.Option(metavar="NAME", help="Everything of an environment.")] = None,
    release: Annotated[str | None, typer.Option(metavar="RELEASE", help="Every packet that names a release (shop-1.2.0).")] = None,
    digest: Annotated[str | None, typer.Option(metavar="SHA256", help="Every packet that names a digest.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="What was sealed from a time on (2026-07-01).")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="What was sealed before a time.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All evidence.")] = False,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Place a legal hold. Give one of the options that say what it covers, or a time span."""
    del as_json, actor
    session = session_of(context)
    chosen = [environment is not None, release is not None, digest is not None, since is not None or until is not None, everything]
    if sum(chosen) != 1:
        raise HoldScopeInvalid(
            "A hold covers one thing, and none or several were named.",
            next_step="Give one of --environment, --release, --digest, --since and --until, or --everything; several holds may cover several things.",
        )
    with session.control_plane() as plane:
        hold = plane.retention.place(session.actor(), _scope(plane, environment, release, digest, since, until), reason)
    session.output.document(_document(hold))
    session.output.say(f"[green]held[/]  [bold]{hold.id}[/]: {escape(hold.scope.words())}")
    session.output.say("  Another person lifts it: stella evidence hold lift " + hold.id + " --reason … --as NAME")


@app.command()
def lift(context: typer.Context, hold: HoldArgument, reason: ReasonOption, actor: ActorOption = None, as_json: JsonOption = False) -> None:
    """Lift a legal hold that another person placed."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        lifted = plane.retention.lift(session.actor(), hold, reason)
    session.output.document(_document(lifted))
    session.output.say(f"[yellow]lifted[/]  {lifted.id}: {escape(lifted.scope.words())}")


@app.command("list")
def list_holds(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Also those that were lifted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the legal holds in force, oldest first."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        found = [hold for hold in plane.retention.holds() if every or hold.in_force]
    session.output.document([_document(hold) for hold in found])
    rows = [(hold.id, escape(hold.scope.words()), *_who(hold), _state(hold)) for hold in found]
    session.output.table("", ("HOLD", "COVERS", "BY", "SINCE", "REASON", "STATE"), rows, ids=("HOLD", "SINCE"))
    if not found:
        session.output.say("No legal hold is in force.")


def _scope(plane: ControlPlane, environment: str | None, release: str | None, digest: str | None, since: str | None, until: str | None) -> Scope:
    if environment is not None:
        if not _has_evidence(plane, environment):  # one that has left the estate may still be held
            require_environment(plane, environment)
        return OfEnvironment(environment=environment)
    if release is not None:
        record = plane.releases.find(release)
        return OfRelease(label=record.label, digest=identity_of(record))
    if digest is not None:
        return OfDigest(digest=Digest(digest))
    if since is None and until is None:
        return OfEverything()
    try:
        return OfSpan(since=moment_of(since), until=moment_of(until))
    except ValidationError as error:
        raise HoldScopeInvalid("The span does not begin before it ends.", next_step="Give --since an earlier time than --until.") from error


def _has_evidence(plane: ControlPlane, environment: str) -> bool:
    with plane.store.reading() as transaction:
        return environment_stream(environment) in newest_sequences(transaction)


def _document(hold: Hold) -> dict[str, object]:
    return {**hold.document(), "in_force": hold.in_force, "scope": hold.scope.document(), "readable": hold.placed is not None}


def _who(hold: Hold) -> tuple[str, str, str]:
    placed = hold.placed
    return ("–", "–", "–") if placed is None else (escape(placed.by.name), when(placed.at), escape(placed.reason))


def _state(hold: Hold) -> str:
    if hold.placed is None and hold.in_force:
        return "[red]cannot be read: it counts as a hold on everything[/]"
    return "[green]in force[/]" if hold.lifted is None else f"lifted by {escape(hold.lifted.by.name)} {when(hold.lifted.at)}: {escape(hold.lifted.reason)}"
