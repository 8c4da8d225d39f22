"""`stella up`: the database, code server, daemon, submitter and web UI of one installation, in the foreground, in one process group."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from stella_pipelines.cli.session import session_of
from stella_pipelines.control_plane import ready_home
from stella_pipelines.core.settings import DATABASE_VARIABLE, InvalidSetting, Settings, database_url, has_password
from stella_pipelines.supervisor.supervisor import run as run_supervisor


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command()(up)


def up(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the web UI listens. It has no login yet: keep it on loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="The UI's port; 0 picks a free one.")] = 3000,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql://user@host:5432/name, for the record and for Dagster. Default: $STELLA_DATABASE_URL, else SQLite."),
    ] = None,
) -> None:
    """Start everything, print the address of the UI, and stop it all cleanly on Ctrl-C.

    With PostgreSQL, our tables live in the database's default schema and Dagster's in the schema "dagster"; both are created and migrated here.
    Give a password in $STELLA_DATABASE_URL, $PGPASSWORD or ~/.pgpass, and TLS as the URL's parameters (?sslmode=verify-full&sslrootcert=/ca.pem).
    """
    output = session_of(context).output
    settings = Settings.from_environ(os.environ)
    if database is not None:
        settings = settings.model_copy(update={"database_url": _without_password(database_url(database))})
    ready_home(settings.home)
    run_supervisor(settings, host, port, lambda address: output.say(f"Stella is up: [bold]{address}[/]   (Ctrl-C stops it)"), None)


def _without_password(url: str) -> str:
    if has_password(url):
        raise InvalidSetting(
            "--database holds a password, which everybody on this machine can read in the list of processes.",
            next_step=f"Set {DATABASE_VARIABLE} to the URL, or leave the password out and give it as PGPASSWORD or in ~/.pgpass. Change this one.",
        )
    return url
