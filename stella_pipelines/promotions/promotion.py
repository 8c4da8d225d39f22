"""A promotion and the commands that move it. Pure: `decide(promotion, command, now)` returns the next value or raises.

The pairs stand in `transitions.py`. Nothing here reads a clock or a store.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.errors import IllegalCommand
from stella_pipelines.promotions.gates_in_force import GatesInForce
from stella_pipelines.promotions.transitions import LIVE, REFUSED, CommandName, PromotionState, allowed, answer

__all__ = [
    "Cancel",
    "Command",
    "DeploymentFailed",
    "DeploymentRolledBack",
    "DeploymentSucceeded",
    "EligibleGroup",
    "EvaluationAllows",
    "EvaluationDenies",
    "EvaluationWaits",
    "Expire",
    "PlanChanged",
    "Promotion",
    "PromotionState",
    "Reevaluate",
    "RunDied",
    "StartDeployment",
    "decide",
]


class EligibleGroup(Value):
    """Who could fill a seat of an approval gate's group when the promotion was requested."""

    gate: str
    group: str
    members: tuple[str, ...]


class Promotion(Value):
    """One release on its way into one environment."""

    id: str
    environment: str
    release_digest: Digest
    release_label: str
    requested_by: Actor
    requested_at: Instant
    reason: str
    state: PromotionState = PromotionState.EVALUATING
    attempt: Annotated[int, Field(ge=1)] = 1
    """Which evaluation of the gates is wanted or was last made."""
    plan_digest: Digest | None = None
    evaluation_id: str | None = None
    decision_packet: str | None = None
    waiting_until: Instant | None = None
    """When the gates are asked again without anybody's doing; None waits for an event alone."""
    deployment_id: str | None = None
    updated_at: Instant
    revision: Annotated[int, Field(ge=1)] = 1
    failure: dict[str, Any] | None = None
    eligible: tuple[EligibleGroup, ...] = ()
    requested_under: GatesInForce | None = None
    """The gates of the environment when it was requested."""
    refused_starts: Annotated[int, Field(ge=0)] = 0
    """How often its deployment was refused at its start because what was allowed held no more."""
    runs_died: Annotated[int, Field(ge=0)] = 0
    """How many of its runs died one after the other, with nothing done in between."""
    progress: str | None = None
    """How far its deployment was when the last of them died."""

    @property
    def live(self) -> bool:
        """Whether it holds its environment."""
        return self.state in LIVE


class Command(Value):
    """Base of the commands. `changes` are the fields that the command sets when its pair is legal."""

    name: ClassVar[CommandName]

    def refusal(self, promotion: Promotion) -> str | None:
        """Why this command is refused although its pair is in the table."""
        del promotion
        return None

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        """The fields that it sets."""
        del promotion
        return {}


class _Evaluated(Command):
    """Base of an evaluation's result. Only the newest attempt speaks."""

    attempt: int
    evaluation_id: str
    plan_digest: Digest | None

    def refusal(self, promotion: Promotion) -> str | None:
        if self.attempt != promotion.attempt:
            return f"it belongs to attempt {self.attempt}, and attempt {promotion.attempt} is the newest"
        return None

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        del promotion
        return {"evaluation_id": self.evaluation_id, "plan_digest": self.plan_digest, "waiting_until": None, "failure": None, "runs_died": 0}


class EvaluationWaits(_Evaluated):
    """No gate denies, and not all allow. `failure` says why when the plan could not be made."""

    name = CommandName.EVALUATION_WAITS
    until: Instant | None
    failure: dict[str, Any] | None = None

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        return {**super().changes(promotion), "waiting_until": self.until, "failure": self.failure}


class EvaluationAllows(_Evaluated):
    """Every gate allows this very plan. It has no meaning without one."""

    name = CommandName.EVALUATION_ALLOWS
    plan_digest: Digest
    packet_id: str

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        return {**super().changes(promotion), "decision_packet": self.packet_id}


class EvaluationDenies(_Evaluated):
    """At least one gate denies."""

    name = CommandName.EVALUATION_DENIES
    packet_id: str

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        return {**super().changes(promotion), "decision_packet": self.packet_id}


class Reevaluate(Command):
    """Ask the gates again: an approval came, a time was reached, facts changed under an evaluation, or its run died (`runs_died` in a row)."""

    name = CommandName.REEVALUATE
    runs_died: int | None = None

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        died = promotion.runs_died if self.runs_died is None else self.runs_died
        return {"attempt": promotion.attempt + 1, "waiting_until": None, "failure": None, "runs_died": died}


class StartDeployment(Command):
    """The deployment of the approved plan begins, or is resumed under the same id."""

    name = CommandName.START_DEPLOYMENT
    deployment_id: str

    def refusal(self, promotion: Promotion) -> str | None:
        started = promotion.deployment_id
        if promotion.state is not PromotionState.APPROVED and started != self.deployment_id:
            return f"deployment {started or 'none'} belongs to it, not {self.deployment_id}"
        return None

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        del promotion
        return {"deployment_id": self.deployment_id, "failure": None, "runs_died": 0}


class DeploymentSucceeded(Command):
    """What was approved runs, proven by digest."""

    name = CommandName.DEPLOYMENT_SUCCEEDED

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        del promotion
        return {"failure": None}


class DeploymentFailed(Command):
    """The rollout failed and its way back was not taken or failed too."""

    name = CommandName.DEPLOYMENT_FAILED
    failure: dict[str, Any]

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        del promotion
        return {"failure": self.failure}


class DeploymentRolledBack(DeploymentFailed):
    """The rollout failed, and what ran before runs again."""

    name = CommandName.DEPLOYMENT_ROLLED_BACK


class PlanChanged(Command):
    """What was allowed holds no more at the start: another plan, or a gate that objects now. Nothing was touched; the gates are asked again later."""

    name = CommandName.PLAN_CHANGED
    until: Instant
    failure: dict[str, Any]

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        forgotten = {"deployment_id": None, "decision_packet": None, "plan_digest": None, "evaluation_id": None, "runs_died": 0}
        return {**forgotten, "refused_starts": promotion.refused_starts + 1, "waiting_until": self.until, "failure": self.failure}


class RunDied(Command):
    """A run ended before it was done. `failure` says so when that happened too often; then an evaluation waits until `until`."""

    name = CommandName.RUN_DIED
    runs_died: int
    progress: str | None
    until: Instant | None
    failure: dict[str, Any] | None

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        del promotion
        return {"runs_died": self.runs_died, "progress": self.progress, "waiting_until": self.until, "failure": self.failure}


class Cancel(Command):
    """Somebody withdraws it."""

    name = CommandName.CANCEL

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        del promotion
        return {"waiting_until": None}


class Expire(Command):
    """It waited longer than a promotion may."""

    name = CommandName.EXPIRE

    def changes(self, promotion: Promotion) -> dict[str, Any]:
        del promotion
        return {"waiting_until": None}


def decide(promotion: Promotion, command: Command, now: datetime) -> Promotion:
    """The promotion after `command`. Raises `IllegalCommand`, which says what is allowed instead."""
    following = answer(promotion.state, command.name)
    refusal = "this state does not accept it" if following is REFUSED else command.refusal(promotion)
    if following is REFUSED or refusal is not None:
        raise IllegalCommand(
            f"{command.name} was refused: promotion {promotion.id} is {promotion.state}, and {refusal}.",
            next_step=f"Accepted here: {', '.join(allowed(promotion.state)) or 'nothing; request a new promotion'}.",
        )
    changes = {"state": following, "updated_at": now, "revision": promotion.revision + 1, **command.changes(promotion)}
    # Validated again, because model_copy alone would accept any value.
    return Promotion.model_validate({**dict(promotion), **changes})
