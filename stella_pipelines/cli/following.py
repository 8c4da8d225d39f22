"""Watching a promotion until it ends or waits for a person: what happened, line by line, and a bar while targets change."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from stella_pipelines.cli.aftermath import say_aftermath
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.explaining import say_why
from stella_pipelines.cli.output import Output, styled
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.model import TargetState
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.promotions.transitions import LIVE

POLL_S: Final = 0.25
"""How often the store is read while somebody watches: one row, and a count."""

EXITS: Final = {
    PromotionState.EVALUATING: Exit.WAITING,
    PromotionState.WAITING: Exit.WAITING,
    PromotionState.APPROVED: Exit.WAITING,
    PromotionState.DEPLOYING: Exit.WAITING,
    PromotionState.DEPLOYED: Exit.DONE,
    PromotionState.REJECTED: Exit.REJECTED,
    PromotionState.CANCELLED: Exit.REJECTED,
    PromotionState.EXPIRED: Exit.REJECTED,
    PromotionState.FAILED: Exit.FAILED,
    PromotionState.ROLLED_BACK: Exit.FAILED,
}
_GOING_ON: Final = (PromotionState.EVALUATING, PromotionState.APPROVED, PromotionState.DEPLOYING)
_DOING: Final = {
    PromotionState.EVALUATING: "evaluating gates",
    PromotionState.APPROVED: "approved, starting the deployment",
    PromotionState.DEPLOYING: "deploying",
    PromotionState.WAITING: "waiting for its time, or evaluated again",
}


class Followed(Value):
    """Where a promotion was when following it ended, and whether that was only because the time was over."""

    promotion: Promotion
    timed_out: bool

    @property
    def exit(self) -> Exit:
        """The exit code that says so."""
        return Exit.NOT_YET if self.timed_out else EXITS[self.promotion.state]


def follow(plane: ControlPlane, output: Output, promotion_id: str, timeout_s: float, past_revision: int | None = None) -> Followed:
    """Follow until the promotion rests. `past_revision` skips the rest that it was in when an approval was given."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.console, transient=True, disable=output.as_json or not output.console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        followed = _watch(plane, promotion_id, timeout_s, past_revision, lambda seen: _show_progress(plane, progress, task, seen))
    say_outcome(plane, output, followed.promotion)
    if followed.timed_out:
        output.hint(f"Not followed any longer than {timeout_s:g} s; it goes on. See it with: stella status {promotion_id}")
    return followed


def _watch(plane: ControlPlane, promotion_id: str, timeout_s: float, past_revision: int | None, show: Callable[[Promotion], None]) -> Followed:
    deadline = time.monotonic() + timeout_s
    while True:
        promotion = plane.promotions.get(promotion_id)
        rests = _rests(plane, promotion, past_revision)
        if rests or time.monotonic() > deadline:
            return Followed(promotion=promotion, timed_out=not rests)
        show(promotion)
        time.sleep(POLL_S)


def _rests(plane: ControlPlane, promotion: Promotion, past_revision: int | None) -> bool:
    """Whether nothing will happen without a person. A promotion that waits for nothing but time goes on by itself."""
    if promotion.state in _GOING_ON or (past_revision is not None and promotion.revision <= past_revision):
        return False
    if promotion.state is not PromotionState.WAITING or promotion.waiting_until is None:
        return True
    return any(result.verdict.verdict == "wait" and result.verdict.wait_until is None for result in plane.promotions.results(promotion.id))


def _show_progress(plane: ControlPlane, progress: Progress, task: TaskID, promotion: Promotion) -> None:
    description = f"{promotion.release_label} → {promotion.environment}: {_DOING[promotion.state]}"
    if promotion.deployment_id is None:
        progress.update(task, description=description)
        return
    counts = plane.deployments.counts(promotion.deployment_id)
    total, open_ones = sum(counts.values()), counts.get(TargetState.PENDING, 0) + counts.get(TargetState.RUNNING, 0)
    progress.update(task, description=description, total=total or None, completed=total - open_ones)


def say_outcome(plane: ControlPlane, output: Output, promotion: Promotion) -> None:
    """One line for the state, and the reasons where there are any."""
    output.say(f"{escape(promotion.release_label)} → [bold]{escape(promotion.environment)}[/]: {styled(promotion.state.value)}")
    if promotion.state is not PromotionState.DEPLOYED:
        say_why(plane, output, promotion)
    if promotion.decision_packet:
        output.say(f"  evidence of the decision: {promotion.decision_packet}")
    if promotion.deployment_id is not None and promotion.state not in LIVE:
        say_aftermath(plane, output, plane.deployments.get(promotion.deployment_id), cause=not promotion.failure)
