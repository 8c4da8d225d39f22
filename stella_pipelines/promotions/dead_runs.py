"""What follows a run that died: another one, after a pause that grows; and, when one dies after the other, a rest that everybody can see. Pure.

Only runs in a row are counted, with nothing done in between: an evaluation that came to its end, or a deployment that got further, forgets
them. So a promotion that waits for weeks and is asked a hundred times has as much patience left as a new one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from stella_pipelines.promotions.errors import RunsDied
from stella_pipelines.promotions.promotion import Promotion, PromotionState, Reevaluate, RunDied

PAUSE_S: Final = 5.0
PAUSE_S_MAX: Final = 300.0
DEAD_RUNS_MAX: Final = 10
"""So many in a row are no accident any more: about 20 minutes of trying, then it is said, and tried seldom."""
REST_S: Final = 900.0
"""How seldom. It is never given up for good: a repaired machine must not wait for somebody who remembers the promotion."""


def deaths(promotion: Promotion, progress: str | None) -> int:
    """How many runs have died in a row, with the one that died now. `progress` is how far the deployment is."""
    return 1 if progress != promotion.progress else promotion.runs_died + 1


def pause_after(count: int) -> timedelta:
    """How long the last of so many dead runs is left alone: 5 s, then twice as long each time up to five minutes; in the end, the rest."""
    if count >= DEAD_RUNS_MAX:
        return timedelta(seconds=REST_S)
    return timedelta(seconds=min(PAUSE_S * 2 ** (count - 1), PAUSE_S_MAX))


def after_death(promotion: Promotion, progress: str | None, reason: str, now: datetime) -> Reevaluate | RunDied:
    """The command that follows. An evaluation that rests waits like any other; a deployment stays where it is, and goes on from its journal."""
    count = deaths(promotion, progress)
    evaluating = promotion.state is PromotionState.EVALUATING
    if evaluating and count < DEAD_RUNS_MAX:
        return Reevaluate(runs_died=count)
    until = now + timedelta(seconds=REST_S) if evaluating else None
    return RunDied(runs_died=count, progress=progress, until=until, failure=_failure(count, evaluating, reason) if count >= DEAD_RUNS_MAX else None)


def _failure(count: int, evaluating: bool, reason: str) -> dict[str, str | bool]:
    error = RunsDied(
        f"{count} runs of its {'evaluation' if evaluating else 'deployment'} died one after the other. The newest: {reason}.",
        unchanged="Nothing was changed." if evaluating else "The targets are as the last run left them.",
        next_step="Repair what the logs of these runs name in the Dagster UI; 'continue_promotion' there starts a run at once."
        + ("" if evaluating else f" It is tried by itself every {REST_S / 60:g} minutes."),
    )
    return error.document()
