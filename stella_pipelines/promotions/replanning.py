"""What happens when a start is refused because what was allowed holds no more: the gates are asked again after a pause. Pure.

The pause is doubled with every refusal, and bounded: a plan that changes at every start must not keep the installation busy, and one that
changed twice by chance must not wait for hours. A promotion that never comes to an end expires, like any other.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from stella_pipelines.promotions.decision import doubled_s
from stella_pipelines.promotions.promotion import PlanChanged, Promotion

PLAN_CHANGED: Final = "DEPLOY_PLAN_CHANGED"
PAUSE_LONGEST_S: Final = 300.0


def pause_s(refused_before: int) -> float:
    """How long to wait: 5 s, doubled for each refusal before this one, at most 5 minutes."""
    return doubled_s(refused_before, PAUSE_LONGEST_S)


def plan_changed(promotion: Promotion, reason: str | None, now: datetime, code: str = PLAN_CHANGED) -> PlanChanged:
    """The command that sends the promotion back to its gates; `code` is that of the refusal."""
    what = reason or "The plan that would be carried out is not the approved one."
    next_step = "Look at what changed, and approve the plan as it is then where an approval is missing."
    failure = {"code": code, "what": what, "next_step": next_step}
    return PlanChanged(until=now + timedelta(seconds=pause_s(promotion.refused_starts)), failure=failure)
