"""`stella up`: the database, code server, daemon, submitter and web UI of one installation, in the foreground, in one process group."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from stella_pipelines.cli.session import session_of
from stella_pipelines.control_plane import ready_home
from stella_pipelines.core.settings import Settings, database_url
from stella_pipelines.supervisor.supervisor import run as run_supervisor


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command()(up)


def up(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the web UI listens. It has no login yet: keep it on loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="The UI's port; 0 picks a free one.")] = 3000,
    database: Annotated[str | None, typer.Option(metavar="URL", help="postgresql://user@host:5432/name (default: $STELLA_DATABASE_URL, else SQLite).")] = None,
) -> None:
    """Start everything, print the address of the UI, and stop it all cleanly on Ctrl-C."""
    output = session_of(context).output
    settings = Settings.from_environ(os.environ)
    if database is not None:
        settings = Settings(home=settings.home, database_url=database_url(database))
    ready_home(settings.home)
    run_supervisor(settings, host, port, lambda address: output.say(f"Stella is up: [bold]{address}[/]   (Ctrl-C stops it)"), None)
