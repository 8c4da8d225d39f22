"""The closed table of a promotion's life, as a literal that people read and documents print.

Every (state, command) pair has an answer: the state that follows, or `REFUSED`. Guards that need more than the pair (such as
"only the same deployment") live beside the command in `promotion.py`; they can only refuse more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class PromotionState(StrEnum):
    """Where a promotion is. `LIVE` ones hold their environment: there is one at a time."""

    EVALUATING = "evaluating"
    WAITING = "waiting"
    APPROVED = "approved"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class CommandName(StrEnum):
    """What may be said to a promotion."""

    EVALUATION_WAITS = "EvaluationWaits"
    EVALUATION_ALLOWS = "EvaluationAllows"
    EVALUATION_DENIES = "EvaluationDenies"
    REEVALUATE = "Reevaluate"
    START_DEPLOYMENT = "StartDeployment"
    DEPLOYMENT_SUCCEEDED = "DeploymentSucceeded"
    DEPLOYMENT_FAILED = "DeploymentFailed"
    DEPLOYMENT_ROLLED_BACK = "DeploymentRolledBack"
    PLAN_CHANGED = "PlanChanged"
    RUN_DIED = "RunDied"
    CANCEL = "Cancel"
    EXPIRE = "Expire"


REFUSED: Final = None
NO = REFUSED
EVALUATING, WAITING, APPROVED, DEPLOYING, DEPLOYED, REJECTED, CANCELLED, EXPIRED, FAILED, ROLLED_BACK = PromotionState

LIVE: Final = (EVALUATING, WAITING, APPROVED, DEPLOYING)
UNDECIDED: Final = (EVALUATING, WAITING)

# One row per state, one cell per command, in the order of CommandName. Read a row as "what may happen here".
# - What is deploying can no longer be cancelled: stop it by rolling it back, so that the targets end in a known state.
# - A changed plan is found before a deployment starts; once it has started, its plan is fixed. It waits before the gates are asked again,
#   longer each time: a plan that changes at every start must not keep the installation busy.
# - An evaluation whose runs die one after the other waits; an allowed promotion stays where it is, and its deployment goes on from its journal.
# - An end is an end. Retrying failed targets and rolling back by hand are deployments of their own, and move no promotion.
# fmt: off
TABLE: Final[Mapping[PromotionState, tuple[PromotionState | None, ...]]] = {
    #             Waits    Allows    Denies    Reevaluate  Start      Succeeded Failed  RolledBack   PlanChanged RunDied    Cancel     Expire
    EVALUATING:  (WAITING, APPROVED, REJECTED, EVALUATING, NO,        NO,       NO,     NO,          NO,         WAITING,   CANCELLED, EXPIRED),
    WAITING:     (NO,      NO,       NO,       EVALUATING, NO,        NO,       NO,     NO,          NO,         NO,        CANCELLED, EXPIRED),
    APPROVED:    (NO,      NO,       NO,       NO,         DEPLOYING, NO,       NO,     NO,          WAITING,    APPROVED,  CANCELLED, EXPIRED),
    DEPLOYING:   (NO,      NO,       NO,       NO,         DEPLOYING, DEPLOYED, FAILED, ROLLED_BACK, NO,         DEPLOYING, NO,        NO),
    DEPLOYED:    (NO,      NO,       NO,       NO,         NO,        NO,       NO,     NO,          NO,         NO,        NO,        NO),
    REJECTED:    (NO,      NO,       NO,       NO,         NO,        NO,       NO,     NO,          NO,         NO,        NO,        NO),
    CANCELLED:   (NO,      NO,       NO,       NO,         NO,        NO,       NO,     NO,          NO,         NO,        NO,        NO),
    EXPIRED:     (NO,      NO,       NO,       NO,         NO,        NO,       NO,     NO,          NO,         NO,        NO,        NO),
    FAILED:      (NO,      NO,       NO,       NO,         NO,        NO,       NO,     NO,          NO,         NO,        NO,        NO),
    ROLLED_BACK: (NO,      NO,       NO,       NO,         NO,        NO,       NO,     NO,          NO,         NO,        NO,        NO),
}
# fmt: on


def answer(state: PromotionState, command: CommandName) -> PromotionState | None:
    """The state that follows, or `REFUSED`."""
    return TABLE[state][tuple(CommandName).index(command)]


def allowed(state: PromotionState) -> tuple[CommandName, ...]:
    """The commands that a state accepts."""
    return tuple(command for command in CommandName if answer(state, command) is not REFUSED)


def table_markdown() -> str:
    """The table as Markdown, for the documents."""
    lines = ["| state | " + " | ".join(CommandName) + " |", "| --- |" + " --- |" * len(CommandName)]
    lines += [f"| {state} | " + " | ".join(cell or "–" for cell in row) + " |" for state, row in TABLE.items()]
    return "\n".join(lines)
