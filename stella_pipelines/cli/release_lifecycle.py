"""`stella release finalize`, `discard`, `deprecate` and `archive`: a release's way through its life, which only goes forward."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.output import styled
from stella_pipelines.cli.releases import ReleaseArgument, identity_of, show_release
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.core.words import as_words

LifecycleReason = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", parser=as_words, help="Why; kept in the audit trail.")]


def register(app: typer.Typer) -> None:
    """Add these commands to `stella release`."""
    for command in (finalize, discard, deprecate, archive):
        app.command()(command)


def finalize(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="RELEASE", help="The draft as name-version, or its name when the version follows.")],
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Its version, when only the name was given.")] = None,
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Make a draft immutable. Refused when a tag it was made from has moved since."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        draft = (plane.releases.find(name) if version is None else plane.releases.get(name, version)).release
        with session.output.working(f"looking whether the tags of {draft.name}-{draft.version} have moved"):
            record = plane.releases.finalize(session.actor(), draft.name, draft.version, registries=plane.registry)
    show_release(session.output, record)


def discard(context: typer.Context, release: ReleaseArgument, as_json: JsonOption = False, actor: ActorOption = None) -> None:
    """Remove a draft, so that its name and version are free again. A finalized release stays for ever."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        record = plane.releases.find(release)
        plane.releases.discard(session.actor(), record.release.name, record.release.version)
    session.output.document({"discarded": record.label})
    session.output.say(f"Discarded the draft [bold]{escape(record.label)}[/].")


def deprecate(context: typer.Context, release: ReleaseArgument, reason: LifecycleReason, as_json: JsonOption = False, actor: ActorOption = None) -> None:
    """Advise against a release. What runs goes on running; it can still be promoted, and whoever does so is told."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        record = plane.releases.deprecate(session.actor(), identity_of(plane.releases.find(release)), reason)
    session.output.document(record.document())
    session.output.say(f"[bold]{escape(record.label)}[/] is {styled(record.state.value)}.")


def archive(context: typer.Context, release: ReleaseArgument, reason: LifecycleReason, as_json: JsonOption = False, actor: ActorOption = None) -> None:
    """Take a release out of use for ever: it is not promoted again. What runs goes on running, and a rollback may still return to it."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        record = plane.releases.archive(session.actor(), identity_of(plane.releases.find(release)), reason)
    session.output.document(record.document())
    session.output.say(f"[bold]{escape(record.label)}[/] is {styled(record.state.value)}.")
