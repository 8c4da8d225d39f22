"""How a replay is told to a person: one decision, and all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.markup import escape

from stella_pipelines.cli.output import Output, styled, when
from stella_pipelines.cli.replay_tally import Tally
from stella_pipelines.promotions.past_decisions import Looked
from stella_pipelines.promotions.replay import ReplayReport
from stella_pipelines.promotions.what_if import GateAgain, WhatIf

LINES_MAX: Final = 5
"""Reasons or differences that are shown of one decision among many; the JSON document has all of them."""
CANNOT: Final = "[yellow]cannot be judged[/]"


def say_equality(output: Output, report: ReplayReport) -> None:
    """One decision judged again by its own rules."""
    if report.byte_equal:
        output.say(f"[green]byte-equal[/]  the stored inputs give the recorded decision again: {report.recorded_digest}")
        return
    output.say(f"[red]different[/]  recorded {report.recorded_digest}, replayed {report.replayed_digest}")
    for difference in report.differences:
        output.say(f"  {escape(difference)}")


def say_what_if(output: Output, answer: WhatIf) -> None:
    """One decision under another estate, gate by gate."""
    output.say(f"{_verdict(answer)}  {escape(answer.release.name)} to {escape(answer.environment)}, decided {when(answer.decided_at)}")
    for gate in answer.gates:
        output.say(f"  {escape(gate.name)} ({escape(gate.kind)}): {_change(gate)}")
        for reason in gate.reasons:
            output.say(f"    {escape(reason)}")
    if not answer.gates:
        for reason in answer.reasons:
            output.say(f"  {escape(reason)}")
    if answer.gone:
        output.say(f"  not asked any more: {escape(', '.join(answer.gone))}")


def say_found(output: Output, looked: Looked[ReplayReport] | Looked[WhatIf]) -> None:
    """One of many decisions about which something must be said."""
    place = f"{escape(looked.packet_id)}  {escape(looked.environment)} no. {looked.sequence}"
    answer, lines = looked.answer, list(_lines(looked))
    if isinstance(answer, WhatIf):
        output.say(f"{place}  {escape(answer.release.name)}, {when(answer.decided_at)}: {_verdict(answer)}")
    else:
        output.say(f"{place}: [red]{'different' if looked.problem is None else escape(looked.problem.code)}[/]")
    for line in lines[:LINES_MAX]:
        output.say(f"  {escape(line)}")
    if len(lines) > LINES_MAX:
        output.say(f"  … and {len(lines) - LINES_MAX} more; see --json")


def say_tally(output: Output, tally: Tally, *, tried: bool) -> None:
    """What all of them came to."""
    for line in _what_if_lines(tally) if tried else _equality_lines(tally):
        output.say(line)
    if tally.results["damaged"]:
        output.say(f"[red]{_decisions(tally.results['damaged'])} damaged or not verifiable[/], see above. They prove nothing; restore them from a backup.")
    if not tally.complete:
        output.say(f"[yellow]Not finished[/]: {tally.covered.total():,} of {_decisions(tally.total)} covered.")
        for line in _coverage(tally):
            output.say(f"  {line}")


def _equality_lines(tally: Tally) -> Iterator[str]:
    equal, different = tally.results["equal"], tally.results["different"]
    yield f"[green]byte-equal[/]  {_decisions(equal)}: the stored inputs give the recorded decision again."
    if different:
        yield f"[red]different[/]  {_decisions(different)}, see above."


def _what_if_lines(tally: Tally) -> Iterator[str]:
    results = tally.results
    outcomes = ", ".join(f"{count:,} × {outcome}" for outcome, count in sorted(tally.outcomes.items()))
    yield f"[bold]{_decisions(results['changes'])}[/] would change{f' ({outcomes})' if outcomes else ''}, {results['stays']:,} would stay."
    if results["cannot_be_judged"]:
        yield f"{_decisions(results['cannot_be_judged'])} {CANNOT}:"
    for (environment, why), question in tally.questions.items():
        yield f"  {question.count:,} of {escape(environment)}: {escape(why)} The first is {escape(question.first)}."


def _coverage(tally: Tally) -> Iterator[str]:
    for name, decisions in tally.extent.items():
        covered = tally.covered[name]
        how_far = "all" if covered == decisions else f"{covered:,}, up to no. {tally.up_to[name]}" if covered else "none"
        yield f"{escape(name)}: {how_far} of {decisions:,}"


def _lines(looked: Looked[ReplayReport] | Looked[WhatIf]) -> Iterator[str]:
    if looked.problem is not None:
        yield looked.problem.what
    elif looked.answer is not None:
        yield from looked.answer.differences if isinstance(looked.answer, ReplayReport) else looked.answer.reasons


def _verdict(answer: WhatIf) -> str:
    if answer.answer == "stays":
        return f"stays {styled(answer.before)}"
    return f"{styled(answer.before)} → {CANNOT if answer.after is None else styled(answer.after)}"


def _change(gate: GateAgain) -> str:
    after = CANNOT if gate.after is None else styled(gate.after)
    return f"{styled(gate.before) if gate.before else 'not asked'} → {after}"


def _decisions(count: int) -> str:
    return f"{count:,} decision{'' if count == 1 else 's'}"
