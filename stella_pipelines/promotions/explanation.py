"""Why not, and what would change it: a promotion's state and its gates' answers as sentences. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.errors import DecisionUnsealable, ReleaseNotPromotable, RunsDied
from stella_pipelines.promotions.evaluation import GateResult
from stella_pipelines.promotions.gates.port import Verdict
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.promotions.wording import moment


class Blocker(Value):
    """A gate that does not allow, in its own words."""

    gate: str
    kind: str
    verdict: Verdict
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    wait_until: Instant | None


class Explanation(Value):
    """The whole answer. `summary` is one sentence and the notes; `would_change` is everything that a person or the time can do."""

    promotion_id: str
    state: PromotionState
    summary: str
    blockers: tuple[Blocker, ...]
    allowed_by: tuple[str, ...]
    would_change: tuple[str, ...]
    asked_again_at: Instant | None
    notes: tuple[str, ...] = ()


def explain(promotion: Promotion, results: Sequence[GateResult], notes: tuple[str, ...] = ()) -> Explanation:
    """Explain a promotion by the answers and the notes of its newest evaluation."""
    blockers = tuple(_blocker(result) for result in results if result.verdict.verdict != "allow")
    changes = [change for blocker in blockers for change in blocker.would_change]
    if promotion.failure:
        changes.insert(0, _remedy(promotion))
    return Explanation(
        promotion_id=promotion.id,
        state=promotion.state,
        summary=" ".join((_summary(promotion, blockers), *notes)),
        blockers=blockers,
        allowed_by=tuple(result.name for result in results if result.verdict.verdict == "allow"),
        would_change=tuple(dict.fromkeys(change for change in changes if change)),
        asked_again_at=promotion.waiting_until,
        notes=notes,
    )


def _remedy(promotion: Promotion) -> str:
    """What would end a failure. While it waits: what is in the way, what to do about it, and that nobody needs to ask again."""
    failure, again = promotion.failure or {}, promotion.waiting_until
    next_step = str(failure.get("next_step", ""))
    if promotion.state is not PromotionState.WAITING or again is None:
        return next_step
    return " ".join(part for part in (str(failure.get("what", "")), next_step, f"It is evaluated again by itself at {moment(again)}.") if part)


def _blocker(result: GateResult) -> Blocker:
    said = result.verdict
    return Blocker(gate=result.name, kind=result.kind, verdict=said.verdict, reasons=said.reasons, would_change=said.would_change, wait_until=said.wait_until)


def _summary(promotion: Promotion, blockers: Sequence[Blocker]) -> str:
    what = f"{promotion.release_label} → {promotion.environment}"
    gates = ", ".join(blocker.gate for blocker in blockers)
    if promotion.state is PromotionState.WAITING:
        return f"{what} is waiting{_for(promotion, gates)}; {_when(promotion)}."
    if promotion.state is PromotionState.REJECTED:
        denying = ", ".join(blocker.gate for blocker in blockers if blocker.verdict == "deny")
        return f"{what} was rejected by {denying or 'its gates'}. Nothing was deployed."
    return f"{what} {_SENTENCES[promotion.state]}{_failure(promotion)}"


def _for(promotion: Promotion, gates: str) -> str:
    if promotion.failure:
        # A refused start forgets the evaluation that allowed it; a plan that could not be made has one.
        unplanned = "its deployment was refused before it touched anything" if promotion.evaluation_id is None else "there is no plan"
        problem = _PROBLEMS.get(str(promotion.failure.get("code")), unplanned)
        return f" because {problem} ({promotion.failure.get('what', 'unknown')})"
    return f" for {gates}" if gates else ""


def _when(promotion: Promotion) -> str:
    again = promotion.waiting_until
    return "an event, such as an approval, asks its gates again" if again is None else f"its gates are asked again at {moment(again)}"


def _failure(promotion: Promotion) -> str:
    return f" {promotion.failure['what']}" if promotion.failure and promotion.failure.get("what") else ""


_PROBLEMS = {
    ReleaseNotPromotable.code: "its release cannot be promoted",
    RunsDied.code: "its runs died",
    DecisionUnsealable.code: "its decision cannot be sealed",
}
"""What a failure is called by its code, where it is not a plan that is missing."""
_SENTENCES = {
    PromotionState.EVALUATING: "is being evaluated: its gates are asked now.",
    PromotionState.APPROVED: "is approved; its deployment starts next.",
    PromotionState.DEPLOYING: "is being deployed.",
    PromotionState.DEPLOYED: "is deployed.",
    PromotionState.CANCELLED: "was cancelled. Nothing was deployed by it.",
    PromotionState.EXPIRED: "expired before it was allowed. Nothing was deployed by it.",
    PromotionState.FAILED: "failed while it was deployed.",
    PromotionState.ROLLED_BACK: "failed and was rolled back.",
}
