"""`stella status`: the board, and for every promotion why it is not deployed and what would change that."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from stella_pipelines.cli.aftermath import deployment_document, say_deployment
from stella_pipelines.cli.board import BoardRow, board, digests_in, show_board
from stella_pipelines.cli.explaining import say_why, tell_why
from stella_pipelines.cli.looks import look_document, say_look
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import Output, styled, when
from stella_pipelines.cli.running import hint_when_down
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.cli.unfinished import told, unfinished_in
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.deployments.model import DeploymentRecord, EnvironmentObservation
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.transitions import LIVE

REFRESH_S: Final = 1.0


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command()(status)


def status(
    context: typer.Context,
    promotion: Annotated[
        str | None, typer.Argument(metavar="[PROMOTION]", help="A promotion (prm_…), or an environment for its newest one; default: everything.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every second until Ctrl-C; with --json, one line per look.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="A line for every target, however many there are.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what runs where, what is on its way, why it is not there yet, and what would change that."""
    del as_json
    session = session_of(context)
    output = session.output
    with session.control_plane() as plane:
        if not watch:
            output.document(_look(plane, output, promotion, everything))
            return
        try:
            while True:
                seen = _look(plane, output, promotion, everything)
                output.line(seen)
                time.sleep(REFRESH_S)
                output.clear()
        except KeyboardInterrupt:
            return  # how a person says that he has seen enough


def _look(plane: ControlPlane, output: Output, promotion: str | None, everything: bool) -> Any:
    """Show one look to people, and give its JSON form."""
    if promotion is not None:
        return _look_at_one(plane, output, promotion, everything)
    rows = board(plane)
    _show_all(plane, output, rows)
    return [row.document() for row in rows]


def _show_all(plane: ControlPlane, output: Output, rows: list[BoardRow]) -> None:
    if not plane.environments.current()[1]:
        output.say("No estate yet: write estate.yaml (examples/estate.yaml is a start), then [bold]stella apply -f estate.yaml[/].")
        return
    show_board(output, rows, plane.clock.now())
    live = [row.promotion for row in rows if row.promotion is not None]
    explained = plane.promotions.explained(live)
    for promotion in live:
        output.say(f"\n[bold]{promotion.id}[/]  {escape(promotion.release_label)} → {escape(promotion.environment)}")
        tell_why(output, promotion, *explained[promotion.id])
    if live or any(row.unfinished for row in rows):
        hint_when_down(output, plane.settings)


def _look_at_one(plane: ControlPlane, output: Output, text: str, everything: bool) -> dict[str, Any]:
    found = _named(plane, text)
    environment = found.environment if found else text
    seen = None if text.startswith("prm_") else plane.deployments.last_observation(environment)
    deployment = _deployment_beside(plane, text, found)
    unfinished = unfinished_in(plane, environment)
    if seen is not None:
        _show_look(plane, output, seen, everything)
    if found is None:
        output.say(f"Nothing was ever promoted into {escape(text)}.")
    else:
        _show_promotion(plane, output, found)
    if deployment is not None and deployment.ended:
        # The promotion has said why its own deployment failed.
        said = found is not None and found.failure is not None and found.deployment_id == deployment.id
        say_deployment(plane, output, deployment, cause=not said, everything=everything)
    if unfinished is not None:
        output.say(told(unfinished, plane.clock.now()))
    if unfinished is not None or (found is not None and found.state in LIVE):
        hint_when_down(output, plane.settings)
    gates = [result.document() for result in plane.promotions.results(found.id)] if found else []
    return {
        "promotion": found.document() if found else None,
        "gates": gates,
        "deployment": deployment_document(plane, deployment) if deployment else None,
        "unfinished": unfinished.document() if unfinished else None,
        "observation": look_document(seen) if seen else None,
    }


def _deployment_beside(plane: ControlPlane, text: str, found: Promotion | None) -> DeploymentRecord | None:
    """Of an environment its newest deployment, whoever began it; of one promotion its own."""
    if text.startswith("prm_"):
        return plane.deployments.get(found.deployment_id) if found and found.deployment_id else None
    return next(iter(plane.deployments.list(text, 1)), None)


def _show_look(plane: ControlPlane, output: Output, seen: EnvironmentObservation, everything: bool) -> None:
    environment = plane.environments.current()[0].environment(seen.environment)
    if environment is not None:  # one that left the estate is not looked at any more
        known = plane.releases.by_digests(digests_in(seen))
        say_look(output, environment, seen, known.get, plane.clock.now(), everything=everything)


def _show_promotion(plane: ControlPlane, output: Output, found: Promotion) -> None:
    output.say(f"[bold]{found.id}[/]  {escape(found.release_label)} → {escape(found.environment)}  {styled(found.state.value)}")
    output.say(f"  asked for by {escape(found.requested_by.name)} at {when(found.requested_at)}, last moved at {when(found.updated_at)}")
    say_why(plane, output, found)


def _named(plane: ControlPlane, text: str) -> Promotion | None:
    """The promotion with this id, or the environment's live one, or its newest one; None when it never had any."""
    if text.startswith("prm_"):
        return plane.promotions.get(text)
    live = plane.promotions.live(text)
    newest = [live] if live is not None else plane.promotions.list(text, limit=1)
    if not newest:
        require_environment(plane, text)
    return next(iter(newest), None)
