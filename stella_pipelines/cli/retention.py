"""`stella evidence purge`: what may go after the retention, as a plan and for good."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli import holds
from stella_pipelines.cli.moments import moment_of
from stella_pipelines.cli.output import Output, when
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.retention.errors import PurgeUnconfirmed, ReasonMissing
from stella_pipelines.evidence.retention.planning import Group, Plan
from stella_pipelines.evidence.retention.rules import WORDS
from stella_pipelines.evidence.retention.service import PurgeReport

GROUPS_SHOWN_MAX = 50


def register(app: typer.Typer) -> None:
    """Add the commands to `stella evidence`."""
    app.command("purge")(purge)
    holds.register(app)


def purge(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan; nothing is changed.")] = False,
    before: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was sealed before this time; never what is within the retention.")] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="SHA256", help="The plan that was agreed to, as --dry-run showed it; refused if it changed.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why; it is sealed.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Purge evidence past its retention. The leaves stay in the log, so every proof holds; what goes is told in sealed packets."""
    del as_json, actor
    session = session_of(context)
    output, moment, agreed = session.output, moment_of(before), None if plan is None else Digest(plan)
    if not dry_run and not reason.strip():
        raise ReasonMissing("A purge is done for a reason, and none was given.", next_step="Say why (--reason TEXT).")
    with session.control_plane() as plane:
        with output.counting("looking at old packets", plane.retention.count_old(moment)) as progress:
            found = plane.retention.plan(moment, agreed, progress)
        if dry_run:
            output.document(found.document())
            _show(output, found)
            return
        _confirm(output, found, agreed, yes)
        with output.counting("purging packets", found.packets) as progress:
            # Whoever said yes has said it to this plan, and to no other.
            report = plane.retention.purge(session.actor(), reason, moment, found.digest if agreed is None else agreed, progress)
    output.document(report.document())
    _tell(output, report)


def _confirm(output: Output, plan: Plan, agreed: Digest | None, yes: bool) -> None:
    if yes:
        return
    if output.as_json or not (sys.stdin.isatty() and output.console.is_terminal):
        raise PurgeUnconfirmed("A purge cannot be undone, and nobody can be asked here.", next_step="Look at it with --dry-run, then give --plan and --yes.")
    _show(output, plan)
    if agreed not in (None, plan.digest):
        output.say("[red]This is not the plan that --plan names.[/]")
    if not typer.confirm(f"Purge {plan.packets} packets for good?"):
        raise PurgeUnconfirmed("The purge was not confirmed.", next_step="There is nothing to do.")


def _show(output: Output, plan: Plan) -> None:
    output.say(f"[bold]{plan.digest}[/]")
    said = (
        f"{plan.packets} packets of {size_in_words(plan.bytes)} may go: sealed before {when(plan.sealed_before)}, the retention is {plan.retention_days} days"
    )
    output.say(f"  {said}")
    if plan.purged_before:
        output.say(f"  {plan.purged_before} packets of this plan were purged already")
    _groups(output, "goes", plan.going)
    _groups(output, "stays, although it is old", plan.kept)
    for hold in plan.holds:
        reason = "it cannot be read" if hold.placed is None else hold.placed.reason
        output.say(f"  hold {hold.id}: {escape(hold.scope.words())}; {escape(reason)}")
    if plan.packets:
        output.say("  Blobs that only they name go too. The log, the audit trail and the keys stay.")
        output.say(f"  Purge: stella evidence purge --plan {plan.digest} --reason … --yes")


def _groups(output: Output, title: str, groups: Sequence[Group]) -> None:
    if not groups:
        return
    rows = [
        (f"{one.packets}", size_in_words(one.bytes), when(one.first), when(one.last), WORDS[one.reason], escape(one.detail))
        for one in groups[:GROUPS_SHOWN_MAX]
    ]
    output.table(f"[bold]{title}[/]", ("PACKETS", "SIZE", "FROM", "TO", "WHY", "WHAT"), rows, ids=("PACKETS", "SIZE", "FROM", "TO"))
    if len(groups) > GROUPS_SHOWN_MAX:
        output.say(f"[dim]{len(groups) - GROUPS_SHOWN_MAX} more groups; --json shows all[/]")


def _tell(output: Output, report: PurgeReport) -> None:
    output.say(f"[green]purged[/]  {report.packets} packets and {report.blobs} blobs, {size_in_words(report.bytes)}, under {report.plan}")
    for packet_id in report.purge_packets[:GROUPS_SHOWN_MAX]:
        output.say(f"  told in {packet_id}")
    if len(report.purge_packets) > GROUPS_SHOWN_MAX:
        output.say(f"[dim]  and {len(report.purge_packets) - GROUPS_SHOWN_MAX} more: stella evidence list --kind purge[/]")


def size_in_words(count: int) -> str:
    """A size for people. Pure."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
