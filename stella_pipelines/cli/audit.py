"""`stella audit list`: who did what, when and why."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.output import when
from stella_pipelines.cli.pages import LIMIT_DEFAULT, LimitOption, say_older
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.evidence import audit

app = typer.Typer(help="The audit trail: who did what, when and why.", no_args_is_help=True)


@app.callback()
def trail() -> None:
    """The audit trail: who did what, when and why."""


@app.command("list")
def list_entries(
    context: typer.Context,
    subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Only what was done to this, as the list names it.")] = None,
    limit: LimitOption = LIMIT_DEFAULT,
    before: Annotated[str | None, typer.Option(metavar="ENTRY", help="Only entries older than this one (aud_…).")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what was done, newest first."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.store.reading() as transaction:
        entries, older = audit.page(transaction, subject=subject, limit=limit, before=before)
    session.output.document([entry.document() for entry in entries])
    rows = [(when(e.at), escape(e.actor.name), escape(e.action), escape(e.subject), escape(e.reason or "")) for e in entries]
    session.output.table("", ("WHEN", "WHO", "DID", "TO", "WHY"), rows, ids=("WHEN", "TO"))
    say_older(session.output, older, entries[-1].id if entries else "")
