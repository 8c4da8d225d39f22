"""`stella promotion list`: what was asked for and what became of it, newest first. To ask is `promote`; why one is where it is, `status`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import styled, when
from stella_pipelines.cli.pages import LIMIT_DEFAULT, LimitOption, say_older
from stella_pipelines.cli.session import JsonOption, session_of

app = typer.Typer(help="Promotions: what was asked for, by whom, and what became of it.", no_args_is_help=True)


@app.callback()
def promotions() -> None:
    """Promotions: what was asked for, by whom, and what became of it."""


@app.command("list")
def list_promotions(
    context: typer.Context,
    environment: Annotated[str | None, typer.Option("--environment", "-e", metavar="ENVIRONMENT", help="Only promotions into this environment.")] = None,
    limit: LimitOption = LIMIT_DEFAULT,
    before: Annotated[str | None, typer.Option(metavar="PROMOTION", help="Only promotions older than this one (prm_…).")] = None,
    as_json: JsonOption = False,
) -> None:
    """List promotions, newest first."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        found, older = plane.promotions.page(environment, limit, before)
        if environment is not None and before is None and not found:
            require_environment(plane, environment)  # one that left the estate keeps its history, and is found above
    session.output.document([promotion.document() for promotion in found])
    rows = [(p.id, escape(p.release_label), escape(p.environment), styled(p.state), escape(p.requested_by.name), when(p.requested_at)) for p in found]
    columns = ("PROMOTION", "RELEASE", "ENVIRONMENT", "STATE", "ASKED BY", "AT")
    session.output.table("", columns, rows, ids=("PROMOTION", "RELEASE", "ENVIRONMENT"))
    say_older(session.output, older, found[-1].id if found else "")
