"""How a deployment went, as a person reads it afterwards: its ledger, why targets failed, and the last words of what failed there.

One wording for `promote`, `retry`, `rollback` and `status`. The whole of the kept output is what `stella logs` prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.markup import escape

from stella_pipelines.cli.many_targets import parted, say_rest
from stella_pipelines.cli.output import Output, styled, when
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.words import WORDS_CHARS_MAX, as_words
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, LedgerRow
from stella_pipelines.store import blobs

LINES_SHOWN: Final = 10
"""Of a failed component's output: the end of it, where the reason usually stands."""
TARGETS_QUOTED_MAX: Final = 3
"""Targets whose output is quoted; on the others it is mostly the same, and `stella logs` has it."""
OUTPUT_BYTES_MAX: Final = 64 * 1024
"""Of one target's kept output: the end of it."""
_WELL: Final = (DeploymentState.SUCCEEDED, DeploymentState.RUNNING)


def deployment_document(plane: ControlPlane, record: DeploymentRecord) -> dict[str, Any]:
    """The deployment with its ledger, for `--json`."""
    return {**record.document(), "ledger": [row.document() for row in plane.deployments.ledger(record.id)]}


def say_deployment(plane: ControlPlane, output: Output, record: DeploymentRecord, *, cause: bool = True, everything: bool = False) -> None:
    """What it was and how it ended in one line, its evidence, and what went wrong."""
    label = escape(plane.releases.by_digest(record.release_digest).label)
    ended = f", {when(record.ended_at)}" if record.ended else ""
    output.say(f"[bold]{record.id}[/]  {record.kind} {'to' if record.kind == 'rollback' else 'of'} {label}  {styled(record.state.value)}{ended}")
    say_aftermath(plane, output, record, cause=cause, everything=everything)


def say_aftermath(plane: ControlPlane, output: Output, record: DeploymentRecord, *, cause: bool = True, everything: bool = False) -> None:
    """The evidence; and for a deployment that did not succeed its cause, the ledger and the last output of what failed.

    Without `cause` where the promotion's own failure, which is the same, was said already. `everything`: a line for every target, however many.
    """
    if record.packet_id:
        output.say(f"  evidence of the {'rollback' if _went_back(record) else 'deployment'}: {record.packet_id}")
    if record.state in _WELL:
        return
    if record.failure and cause:
        output.say(f"  [red]{escape(record.failure.code)}[/]  {escape(record.failure.what)}")
        output.say(f"         → {escape(record.failure.next_step)}")
    rows = plane.deployments.ledger(record.id)
    chosen, rest = parted(rows, lambda row: row.failure is None and row.restore_failure is None, everything=everything)
    output.table("", ("  TARGET", "STATE", "FAILURE"), [_cells(row) for row in chosen], ids=("  TARGET", "STATE"))
    say_rest(output, [row.state for row in rest], f"stella status {record.promotion_id or escape(record.environment)} --all")
    _quote(plane, output, record, [row for row in rows if row.log is not None])


def last_output(plane: ControlPlane, row: LedgerRow) -> str:
    """The end of what the target's failed component said, made safe to show; empty when nothing was kept."""
    if row.log is None:
        return ""
    with plane.store.reading() as tx:
        return shown(blobs.get(tx, row.log))


def shown(content: bytes) -> str:
    """The end of an output, without what could change what a terminal shows. Pure."""
    text = content[-OUTPUT_BYTES_MAX:].decode("utf-8", "replace").replace("\r\n", "\n")
    return "".join(as_words(text[start : start + WORDS_CHARS_MAX]) for start in range(0, len(text), WORDS_CHARS_MAX))


def _went_back(record: DeploymentRecord) -> bool:
    return record.kind == "rollback" or record.state in (DeploymentState.ROLLED_BACK, DeploymentState.ROLLBACK_FAILED)


def _cells(row: LedgerRow) -> tuple[str, ...]:
    failures = [failure for failure in (row.failure, row.restore_failure) if failure is not None]
    told = "  ".join(f"[red]{escape(failure.code)}[/]  {escape(failure.what)}" for failure in failures)
    return (f"  [bold]{escape(row.target)}[/]", styled(row.state), told)


def _quote(plane: ControlPlane, output: Output, record: DeploymentRecord, rows: Sequence[LedgerRow]) -> None:
    for row in rows[:TARGETS_QUOTED_MAX]:
        lines = last_output(plane, row).strip().split("\n")[-LINES_SHOWN:]
        output.say(f"  last output of {escape(row.target)}:")
        for line in lines:
            output.say(f"    {escape(line)}")
    if rows:
        only = f" --target {escape(rows[0].target)}" if len(rows) == 1 else ""
        output.say(f"  All that was kept: [bold]stella logs {record.id}{only}[/]")
