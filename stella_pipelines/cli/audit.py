"""`stella audit list` and `stella audit check`: who did what, when and why; and whether the stored rows are what that says."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.markup import escape

from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.moments import moment_of
from stella_pipelines.cli.output import when
from stella_pipelines.cli.pages import LIMIT_DEFAULT, LimitOption, say_older
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.evidence import audit_search
from stella_pipelines.evidence.agreement import Problem, audited_rows, stored_rows_agree
from stella_pipelines.evidence.audit_search import Asked

PROBLEMS_SHOWN_MAX: Final = 1_000
"""A store of which every row was edited is no reason to fill the memory."""

app = typer.Typer(help="The audit trail: who did what, when and why.", no_args_is_help=True)


@app.callback()
def trail() -> None:
    """The audit trail: who did what, when and why."""


@app.command("list")
def list_entries(
    context: typer.Context,
    subject: Annotated[
        str | None, typer.Option(metavar="SUBJECT", help="Only what was done to this, as the list names it, and to what belongs to it (release/shop-1.0).")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this person did.")] = None,
    action: Annotated[str | None, typer.Option(metavar="ACTION", help="Only this; 'release.' means all that begin so.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", metavar="ENVIRONMENT", help="Only what concerns this one.")] = None,
    request: Annotated[str | None, typer.Option(metavar="ID", help="Only what was part of this command, tick or run (req_…, or a run's id).")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was done at this time (2026-07-01, 2026-07-01T09:00:00Z) or later.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was done before this time.")] = None,
    limit: LimitOption = LIMIT_DEFAULT,
    before: Annotated[str | None, typer.Option(metavar="ENTRY", help="Only entries older than this one (aud_…).")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what was done, newest first. With --json: every entry in full, with the hashes before and after."""
    del as_json
    session = session_of(context)
    asked = Asked(
        subject=subject, actor=actor, action=action, environment=environment, request=request, since=moment_of(since), until=moment_of(until)
    )  # fmt: skip
    with session.control_plane() as plane, plane.store.reading() as transaction:
        entries, older = audit_search.page(transaction, asked, limit, before)
    session.output.document([entry.document() for entry in entries])
    rows = [(when(e.at), escape(e.actor.name), escape(e.action), escape(e.subject), escape(e.reason or "")) for e in entries]
    session.output.table("", ("WHEN", "WHO", "DID", "TO", "WHY"), rows, ids=("WHEN", "TO"))
    say_older(session.output, older, entries[-1].id if entries else "")


@app.command()
def check(context: typer.Context, as_json: JsonOption = False) -> None:
    """Compare every audited row with its newest entry in the trail. A row that was edited, added or removed past it is named."""
    del as_json
    session = session_of(context)
    found: list[Problem] = []
    count = 0
    with session.control_plane() as plane, plane.store.reading() as transaction:
        total = audited_rows(transaction)
        with session.output.counting("comparing rows", total) as progress:
            for problem in stored_rows_agree(transaction, progress):
                count += 1
                found += [problem] if len(found) < PROBLEMS_SHOWN_MAX else []
    session.output.document({"rows": total, "problem_count": count, "problems": [problem.document() for problem in found]})
    for problem in found:
        session.output.say(f"[red]✗[/] {escape(problem.table)} {escape(problem.subject)}: {escape(problem.what)}")
    if count:
        session.output.say(f"{count:,} of {total:,} rows do not agree with the audit trail.")
        raise typer.Exit(Exit.FAILED)
    session.output.say(f"All {total:,} rows are as their newest audit entries say.")
