"""`stella evidence replay`: the recorded decisions judged again, by their own rules or by those of another estate file. Writes nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stella_pipelines.cli.estate import read_estate
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.moments import SinceOption, UntilOption, moment_of
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.replay_tally import Tally, result_of
from stella_pipelines.cli.replay_words import say_equality, say_found, say_tally, say_what_if
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.cli.streamed_document import StreamedDocument
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.environments.model import Estate
from stella_pipelines.environments.problems import suggestion
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.promotions.errors import EnvironmentUnknown
from stella_pipelines.promotions.gates.cel_worker import CelWorker, with_worker
from stella_pipelines.promotions.gates.registry import gate_kinds
from stella_pipelines.promotions.past_decisions import Looked, PastDecisions, Selection, reader
from stella_pipelines.promotions.replay import ReplayReport, replay_statement
from stella_pipelines.promotions.trial import Trial
from stella_pipelines.promotions.what_if import WhatIf

AnyLooked = Looked[ReplayReport] | Looked[WhatIf]
PacketArgument = Annotated[str | None, typer.Argument(metavar="PACKET", help="The decision's packet (evd_…).")]
AllOption = Annotated[bool, typer.Option("--all", help="Every decision that was ever sealed here.")]
PolicyOption = Annotated[Path | None, typer.Option("--policy", metavar="ESTATE.YAML", help="Judge by the gates, policies and windows of this estate file.")]
EnvironmentOption = Annotated[str | None, typer.Option("--environment", "-e", metavar="ENVIRONMENT", help="With --all: only decisions about this one.")]


def replay(
    context: typer.Context,
    packet: PacketArgument = None,
    every: AllOption = False,
    policy: PolicyOption = None,
    environment: EnvironmentOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify recorded decisions, and judge their stored inputs again. Nothing is written.

    Without [bold]--policy[/], the result is compared with the record byte by byte; exit code 0 means equal. With it, the report says which decisions
    the gates of another estate file would have changed: 0 means none, 3 that it would change some or cannot judge some. 5: a packet is damaged,
    or a decision does not come out again. 1 with a summary: interrupted.
    """
    del as_json
    _require_one_way_to_choose(packet, every, (environment, since, until))
    selection = Selection(environment, moment_of(since), moment_of(until))
    new = None if policy is None else read_estate(policy)[0]
    if new is not None and environment is not None:
        _require_declared(new, environment)
    output = session_of(context).output
    with session_of(context).control_plane() as plane:
        if packet is None:
            code = _replay_all(output, plane, selection, new)
        else:
            code = _replay_one(output, plane, packet) if new is None else _try_on_one(output, plane, packet, new)
    raise typer.Exit(code)


def _replay_one(output: Output, plane: ControlPlane, packet_id: str) -> Exit:
    with plane.store.reading() as tx:
        sealed, verified = read_verified(plane.evidence, tx, packet_id)
        report = replay_statement(sealed.id, verified.statement, reader(tx))
    output.document(report.document())
    say_equality(output, report)
    return Exit.DONE if report.byte_equal else Exit.FAILED


def _try_on_one(output: Output, plane: ControlPlane, packet_id: str, new: Estate) -> Exit:
    with plane.store.reading() as tx:
        sealed, verified = read_verified(plane.evidence, tx, packet_id)
        answer = Trial(new).look(sealed.id, verified.statement, reader(tx))
    output.document({"packet": sealed.id, **answer.document()})
    say_what_if(output, answer)
    return Exit.DONE if answer.answer == "stays" else Exit.WAITING


def _replay_all(output: Output, plane: ControlPlane, selection: Selection, new: Estate | None) -> Exit:
    past = PastDecisions(plane.store, plane.evidence, selection)
    if selection.environment is not None and not past.extent:
        require_environment(plane, selection.environment)  # one that left the estate keeps its evidence, and is found above
    tally, document = Tally(past.extent), StreamedDocument("decisions", enabled=output.as_json)
    with CelWorker() as worker:
        kinds = with_worker(gate_kinds(), worker)
        again = functools.partial(replay_statement, kinds=kinds)
        looks: Iterator[AnyLooked] = past.each(again) if new is None else past.each(Trial(new, kinds).look)
        ended = _cover(output, looks, tally, document)
    document.end({"summary": tally.document(), "error": ended.document() if isinstance(ended, StellaError) else None})
    say_tally(output, tally, tried=new is not None)
    if isinstance(ended, StellaError):
        if not output.as_json:
            return output.error(ended)
        return Exit.TRY_AGAIN if ended.retryable else Exit.REFUSED
    return tally.exit()


def _cover(output: Output, looks: Iterator[AnyLooked], tally: Tally, document: StreamedDocument) -> StellaError | KeyboardInterrupt | None:
    """Look at all of them, and tell what is not as it should be as it comes. What ends it early is returned, so that what was covered is still told."""
    try:
        with _progress(output, tally.total) as advance:
            for looked in looks:
                if tally.count(looked) not in ("equal", "stays"):
                    document.add(_item(looked))
                    if _worth_a_line(looked):
                        say_found(output, looked)
                advance()
    except (StellaError, KeyboardInterrupt) as end:
        return end
    return None


def _worth_a_line(looked: AnyLooked) -> bool:
    """What cannot be judged is told by its reasons at the end, because it is mostly the same for many."""
    return result_of(looked) != "cannot_be_judged"


def _item(looked: AnyLooked) -> dict[str, object]:
    answer = {} if looked.answer is None else looked.answer.document()
    problem = None if looked.problem is None else looked.problem.document()
    place = {"packet": looked.packet_id, "environment": looked.environment, "sequence": looked.sequence}
    return {**place, "result": result_of(looked), **answer, "problem": problem}


@contextmanager
def _progress(output: Output, total: int) -> Iterator[Callable[[], None]]:
    """A bar with the time that is left, on a terminal; nothing where nobody watches."""
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.console, transient=True, disable=output.as_json or not output.console.is_terminal) as progress:
        task = progress.add_task("replaying", total=total)
        yield lambda: progress.advance(task)


def _require_one_way_to_choose(packet: str | None, every: bool, narrower: tuple[str | None, ...]) -> None:
    if (packet is None) != every:
        raise typer.BadParameter("Give either a PACKET or --all.")
    if not every and any(one is not None for one in narrower):
        raise typer.BadParameter("--environment, --since and --until go with --all.")


def _require_declared(new: Estate, environment: str) -> None:
    known = [one.name for one in new.environments]
    if environment not in known:
        raise EnvironmentUnknown(
            f"The file given with --policy declares no environment {environment[:80]!r}.{suggestion(environment, known)}",
            next_step="Correct the name, or declare the environment with its gates in the file.",
        )
