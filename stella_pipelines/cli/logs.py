"""`stella logs`: the last output of the components on which a deployment failed, as it was kept when they failed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.aftermath import last_output
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.deployments.errors import DeploymentMissing
from stella_pipelines.deployments.model import DeploymentRecord, LedgerRow
from stella_pipelines.environments.problems import suggestion


class LogTargetUnknown(StellaError):
    """The deployment had no such target."""

    code = "RES_LOG_TARGET"


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command()(logs)


def logs(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="DEPLOYMENT|ENVIRONMENT", help="A deployment's id (dep_…), or an environment for its newest one.")],
    target: Annotated[str | None, typer.Option("--target", metavar="NAME", help="Only this target's output.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the failed components of a deployment said last: at most 64 KiB for each target, kept when they failed."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        record = _deployment(plane, what)
        said = [(row, last_output(plane, row)) for row in _rows(plane, record, target)]
    session.output.document(
        {"deployment_id": record.id, "environment": record.environment, "targets": [_document(row, text) for row, text in said if row.log or target]}
    )
    kept = [(row, text) for row, text in said if text]
    if not kept:
        session.output.say(f"No output was kept of {record.id}: it is kept of components that start and then fail.")
    for row, text in kept:
        session.output.say(f"[bold]{escape(row.target)}[/] in {record.id}:")
        session.output.say(escape(text.rstrip("\n")))


def _deployment(plane: ControlPlane, what: str) -> DeploymentRecord:
    if what.startswith("dep_"):
        return plane.deployments.get(what)
    newest = next(iter(plane.deployments.list(what, 1)), None)
    if newest is None:
        require_environment(plane, what)
        raise DeploymentMissing(f"Nothing was ever deployed into {what}.", next_step=f"Promote a release: stella promote RELEASE --to {what}.")
    return newest


def _rows(plane: ControlPlane, record: DeploymentRecord, target: str | None) -> list[LedgerRow]:
    rows = plane.deployments.ledger(record.id)
    if target is None:
        return rows
    found = [row for row in rows if row.target == target]
    if not found:
        names = [row.target for row in rows]
        raise LogTargetUnknown(
            f"Deployment {record.id} had no target {target[:80]!r}.{suggestion(target, names)}", next_step=f"It had: {', '.join(names) or 'none'}."
        )
    return found


def _document(row: LedgerRow, text: str) -> dict[str, str]:
    return {"target": row.target, "state": row.state.value, "output": text}
