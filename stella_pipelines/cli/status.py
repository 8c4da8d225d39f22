"""`stella status`: the board, and for every live promotion why it is not deployed and what would change that."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer
from rich.markup import escape

from stella_pipelines.cli.board import board, show_board
from stella_pipelines.cli.explaining import say_why
from stella_pipelines.cli.output import styled
from stella_pipelines.cli.promotions import find_promotion
from stella_pipelines.cli.session import JsonOption, Session, session_of
from stella_pipelines.control_plane import ControlPlane

REFRESH_S: Final = 1.0


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command()(status)


def status(
    context: typer.Context,
    promotion: Annotated[str | None, typer.Argument(metavar="[PROMOTION]", help="One promotion (prm_… or its environment); default: everything.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every second until interrupted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what runs where, what is on its way, why it is not there yet, and what would change that."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        while True:
            _show_once(session, plane, promotion)
            if not watch:
                return
            time.sleep(REFRESH_S)
            session.output.console.clear()


def _show_once(session: Session, plane: ControlPlane, promotion: str | None) -> None:
    if promotion is not None:
        found = find_promotion(plane, promotion)
        session.output.document({"promotion": found.document(), "gates": [result.document() for result in plane.promotions.results(found.id)]})
        session.output.say(f"[bold]{found.id}[/]  {escape(found.release_label)} → {escape(found.environment)}  {styled(found.state.value)}")
        say_why(plane, session.output, found)
        return
    rows = board(plane)
    session.output.document([row.document() for row in rows])
    show_board(session.output, rows)
    for row in rows:
        if row.promotion is not None:
            session.output.say(f"\n[bold]{row.promotion.id}[/]  {escape(row.promotion.release_label)} → {escape(row.environment)}")
            say_why(plane, session.output, row.promotion)
