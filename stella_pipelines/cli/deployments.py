"""`stella plan`, `stella retry` and `stella rollback`: what would change on each target, what failed once more, and the way back."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.aftermath import deployment_document, say_aftermath
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.many_targets import parted, say_rest
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import Output, styled
from stella_pipelines.cli.promotions import ReasonOption
from stella_pipelines.cli.releases import ReleaseArgument, identity_of
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import choosing, records
from stella_pipelines.deployments.errors import NothingToRetry, NotProven
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState
from stella_pipelines.deployments.plan import ComponentChange, Plan

EnvironmentArgument = Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="The environment, such as prod.")]


def register(app: typer.Typer) -> None:
    """Add the deployment commands to the root."""
    app.command()(plan)
    app.command()(retry)
    app.command()(rollback)


def plan(
    context: typer.Context,
    release: ReleaseArgument,
    to: Annotated[str, typer.Option("--to", metavar="ENVIRONMENT", help="The environment to look at.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a promotion would change on each target, from what the targets say now. Changes nothing."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        require_environment(plane, to)
        digest = identity_of(plane.releases.find(release))
        with session.output.working(f"asking the targets of {to} what they run"):
            found = asyncio.run(plane.deployments.plan(to, digest))
    session.output.document({"plan_digest": found.content_digest(), "plan": found.document()})
    _show_plan(session.output, found)


def retry(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="ENVIRONMENT|DEPLOYMENT", help="The environment (its newest deployment), or a deployment's id (dep_…).")],
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Deploy again to the targets on which the newest deployment did not succeed, and to no other.

    They get what was approved for that deployment, also when the estate was edited since. Goes on with a retry that was interrupted. Works with
    nothing else running; sealed as evidence. Not during a freeze; and a deployment that was rolled back as a whole wants a new promotion.
    """
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        deployment_id = _newest_deployment(plane, what)
        with session.output.working(f"retrying {deployment_id}"):
            record = asyncio.run(plane.deployments.retry_failed(session.actor(), deployment_id, reason))
        rows = plane.deployments.ledger(record.id)
        runs = _running(plane, record.environment)
        session.output.document({**deployment_document(plane, record), "runs": runs})
        session.output.say(f"Retry of {deployment_id}")
        session.output.say(_outcome(record, runs))
        if record.state is DeploymentState.SUCCEEDED:
            chosen, rest = parted(rows, lambda row: row.failure is None)
            session.output.table("", ("TARGET", "STATE"), [(f"[bold]{escape(row.target)}[/]", styled(row.state)) for row in chosen], ids=("TARGET",))
            say_rest(session.output, [row.state for row in rest], f"stella status {escape(record.environment)} --all")
        else:
            say_aftermath(plane, session.output, record)
    raise typer.Exit(Exit.DONE if record.state is DeploymentState.SUCCEEDED else Exit.FAILED)


def _newest_deployment(plane: ControlPlane, what: str) -> str:
    """The deployment with this id, or the environment's newest one (a retry that was interrupted counts as what it retries)."""
    if what.startswith("dep_"):
        return what
    require_environment(plane, what)
    newest = next(iter(plane.deployments.list(what, 1)), None)
    if newest is None:
        raise NothingToRetry(f"Nothing was ever deployed into {what}.", next_step=f"Promote a release: stella promote RELEASE --to {what}.")
    return newest.retry_of if newest.retry_of and not newest.ended else newest.id


def rollback(
    context: typer.Context,
    environment: EnvironmentArgument,
    to: Annotated[
        str | None, typer.Option("--to", metavar="RELEASE", help="An earlier proven release (default: the one before the one that runs now).")
    ] = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Bring an environment back to an earlier proven release, now. Works with nothing else running; sealed as evidence.

    Without [bold]--to[/] it goes to the release that was proven there before the one that runs now came, so a second rollback goes one further
    back. To go forward again, name the release. A deployment that has not ended is taken back first.
    """
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        require_environment(plane, environment)
        digest = identity_of(plane.releases.find(to)) if to else None
        session.output.say(_intention(plane, environment, digest))
        with session.output.working(f"rolling {environment} back"):
            record = asyncio.run(plane.deployments.rollback(session.actor(), environment, digest, reason))
        runs = _running(plane, environment)
        session.output.document({**deployment_document(plane, record), "runs": runs})
        session.output.say(_outcome(record, runs))
        if not record.brought_back:
            say_aftermath(plane, session.output, record)
    raise typer.Exit(Exit.DONE if record.brought_back else Exit.FAILED)


def _intention(plane: ControlPlane, environment: str, to: Digest | None) -> str:
    """What is about to happen. Only said: the use case looks again, under its lease."""
    with plane.store.reading() as tx:
        unfinished = records.unfinished(tx, environment)
        if unfinished is not None and to is None:
            return f"Taking back deployment {unfinished.id} into [bold]{escape(environment)}[/], which has not ended."
        try:
            wanted = choosing.way_back(tx, environment, to).release_digest
        except NotProven as error:
            raise error if to is None else _never_proven(plane, environment, to) from error
    label, runs = plane.releases.by_digest(wanted).label, _running(plane, environment)
    return f"[bold]{escape(environment)}[/]: {escape(runs or 'nothing proven')} → [bold]{escape(label)}[/]"


def _never_proven(plane: ControlPlane, environment: str, to: Digest) -> NotProven:
    """The refusal in the words of the one who asked: by the release's label."""
    label = plane.releases.by_digest(to).label
    return NotProven(
        f"There is nothing to roll back to: {label} was never proven in {environment}.",
        next_step=f"Name a release that ran in {environment} before, or promote this one: stella promote {label} --to {environment}.",
    )


def _outcome(record: DeploymentRecord, runs: str | None) -> str:
    line = f"{escape(record.environment)}: {styled(record.state)}, evidence {record.packet_id or 'none'}. "
    if record.state is DeploymentState.REFUSED:
        why = f"{escape(record.failure.what)} " if record.failure and record.kind != "promotion" else ""
        return f"{line}{why}Nothing was touched. Runs as before: [bold]{escape(runs or 'nothing')}[/]."
    if record.state not in (DeploymentState.SUCCEEDED, DeploymentState.ROLLED_BACK):
        return f"{line}What runs is not proven: see [bold]stella status {escape(record.environment)}[/]."
    return f"{line}Runs now: [bold]{escape(runs or 'nothing')}[/]."


def _running(plane: ControlPlane, environment: str) -> str | None:
    """The release that was proven there last."""
    proven = plane.deployments.newest_proven(environment)
    return plane.releases.by_digest(proven.release_digest).label if proven else None


def _show_plan(output: Output, plan: Plan) -> None:
    rows = [_row(target.target, change) for target in plan.targets for change in target.components]
    title = f"Plan {plan.content_digest().short} for {escape(plan.environment)}"
    output.table(title, ("TARGET", "COMPONENT", "ACTION", "RUNS NOW", "WANTED", "WAY BACK"), rows, ids=("TARGET", "RUNS NOW", "WANTED"))
    output.say(f"Approvals bind to the plan's digest: {plan.content_digest()}")


def _row(target: str, change: ComponentChange) -> tuple[str, ...]:
    risk = f"\n[yellow]{escape(change.risk)}[/]" if change.risk != "none" else ""
    cells = (escape(change.name), escape(change.action), _runs_now(change), change.wanted_digest.short, _way_back(change) + risk)
    return (f"[bold]{escape(target)}[/]", *cells)


def _runs_now(change: ComponentChange) -> str:
    return "nothing" if change.action == "start" else change.current_digest.short if change.current_digest else "unknown"


def _way_back(change: ComponentChange) -> str:
    """What a rollback would do here: the same rule as the rollout's, which goes by the deployment whose instance is kept."""
    if change.action == "none":
        return "nothing changes"
    if change.action == "start":
        return "remove it again"
    return "the running instance, kept stopped" if change.way_back else "none: only remove it again"
