"""Promotions under random commands, against a small model that knows nothing of the table. A failure names its seed.

The model keeps, per environment, who holds it, and per promotion only what a person would remember. The sentences it checks:
 - a refused command changes nothing; an accepted one adds exactly one to the revision;
 - an environment is held by at most one live promotion;
 - what is deployed was allowed, for the plan that the newest evaluation saw, after the newest change of anything;
 - an end is an end;
 - attempts only grow, and an old attempt's answer is never taken;
 - a run that died leads nowhere but to waiting, and is counted until something is done again.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.promotions.decision import combine
from stella_pipelines.promotions.errors import IllegalCommand
from stella_pipelines.promotions.gates.port import GateVerdict, allow, deny, error, wait
from stella_pipelines.promotions.promotion import (
    Cancel,
    Command,
    DeploymentFailed,
    DeploymentRolledBack,
    DeploymentSucceeded,
    EvaluationAllows,
    EvaluationDenies,
    EvaluationWaits,
    Expire,
    PlanChanged,
    Promotion,
    PromotionState,
    Reevaluate,
    RunDied,
    StartDeployment,
    decide,
)
from stella_pipelines.promotions.transitions import CommandName
from tests.support.promotions import NOW, digest, promotion

SEEDS, STEPS_PER_SEED = range(8), 4_000
ENDS = {"deployed", "rejected", "cancelled", "expired", "failed", "rolled_back"}
VERDICTS = (allow("yes"), allow("also"), allow("fine"), deny("no", would_change=("x",)), wait("later", until=NOW, would_change=()), error("?", would_change=()))

CHANGED = PlanChanged(until=NOW, failure={})


@dataclass
class Remembered:
    """What the model knows of one promotion."""

    attempt: int = 1
    allowed_plan: Digest | None = None
    deployment: str | None = None
    changes: int = 0
    died: int = 0
    end: str | None = None


@dataclass
class World:
    """Two environments, and everything that was ever requested into them."""

    seed: int
    random: random.Random
    now: datetime = NOW
    promotions: dict[str, Promotion] = field(default_factory=dict)
    remembered: dict[str, Remembered] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    count: int = 0

    def step(self) -> None:
        # The clock sometimes jumps back: no rule may depend on it going forward.
        self.now += timedelta(seconds=self.random.choice([0, 1, 60, 86400, -3600]))
        if not self.promotions or self.random.random() < 0.15:
            self.request()
        else:
            self.command(self.random.choice(self.live() if self.random.random() < 0.7 else list(self.promotions.values())))
        for environment in ("staging", "prod"):
            assert sum(one.live for one in self.promotions.values() if one.environment == environment) <= 1, self.seed

    def live(self) -> list[Promotion]:
        """The live promotions, or any when there are none."""
        return [one for one in self.promotions.values() if one.live] or list(self.promotions.values())

    def request(self) -> None:
        environment = self.random.choice(["staging", "prod"])
        if any(one.live and one.environment == environment for one in self.promotions.values()):
            self.seen["second request"] += 1
            return  # the database refuses it; tests/unit/test_promotions_service.py shows that
        self.count += 1
        new = promotion(id=f"prm_{self.count}", environment=environment)
        self.promotions[new.id], self.remembered[new.id] = new, Remembered()

    def command(self, before: Promotion) -> None:
        command = self.draw(before)
        copy = before.canonical()
        try:
            after = decide(before, command, self.now)
        except IllegalCommand as refusal:
            self.seen[f"refused {command.name}"] += 1
            assert before.canonical() == copy, self.seed
            self.must_accept(before, command, refusal)
            return
        self.seen[command.name] += 1
        self.promotions[before.id] = after
        self.check(before, command, after)

    def draw(self, before: Promotion) -> Command:
        known = self.remembered[before.id]
        died = RunDied(runs_died=known.died + 1, progress=None, until=NOW if before.state is PromotionState.EVALUATING else None, failure=None)
        choices = [Reevaluate(), DeploymentSucceeded(), DeploymentFailed(failure={}), DeploymentRolledBack(failure={}), CHANGED, died, Cancel(), Expire()]
        number = self.random.random()
        if number < 0.45:
            return self.evaluated(known.attempt if self.random.random() < 0.85 else self.random.randint(1, 3))
        if number < 0.65:
            return StartDeployment(deployment_id=known.deployment or f"dep_{self.random.randint(1, 3)}")
        if number < 0.8:  # a deployment's own words come more often, or a run would rarely see them in the right state
            return self.random.choice(choices[1:5])
        return self.random.choice(choices)

    def evaluated(self, attempt: int) -> Command:
        verdicts: list[tuple[str, GateVerdict]] = [(str(number), self.random.choice(VERDICTS)) for number in range(self.random.randint(0, 2))]
        outcome = combine(verdicts, ungated=False)
        plan = digest(f"plan {self.random.randint(1, 3)}")
        said = {verdict.verdict for _, verdict in verdicts}
        assert (outcome.verdict == "allow") == (said == {"allow"}), self.seed
        assert (outcome.verdict == "deny") == ("deny" in said), self.seed
        if outcome.verdict == "allow":
            return EvaluationAllows(attempt=attempt, evaluation_id="evl", plan_digest=plan, packet_id="evd")
        if outcome.verdict == "deny":
            return EvaluationDenies(attempt=attempt, evaluation_id="evl", plan_digest=plan, packet_id="evd")
        return EvaluationWaits(attempt=attempt, evaluation_id="evl", plan_digest=plan, until=outcome.until)

    def must_accept(self, before: Promotion, command: Command, refusal: IllegalCommand) -> None:
        """What a person must always be able to do is never refused, and a refusal says what is possible."""
        assert refusal.next_step, self.seed
        undecided = before.state in (PromotionState.EVALUATING, PromotionState.WAITING)
        assert not (undecided and isinstance(command, Cancel | Reevaluate | Expire)), self.seed
        assert not (before.state is PromotionState.APPROVED and isinstance(command, Cancel | PlanChanged)), self.seed

    def check(self, before: Promotion, command: Command, after: Promotion) -> None:
        known = self.remembered[before.id]
        assert after.revision == before.revision + 1, self.seed
        assert known.end is None, f"seed {self.seed}: {before.state} is an end"
        assert (after.id, after.release_digest, after.environment) == (before.id, before.release_digest, before.environment)
        if isinstance(command, EvaluationAllows | EvaluationDenies | EvaluationWaits):
            assert command.attempt == known.attempt, self.seed
        if isinstance(command, EvaluationAllows):
            known.allowed_plan = command.plan_digest
        if isinstance(command, Reevaluate | PlanChanged):
            known.allowed_plan, known.deployment = None, None
        if isinstance(command, Reevaluate):
            known.attempt += 1
        if isinstance(command, PlanChanged):
            known.changes += 1
            assert (after.waiting_until, after.plan_digest) == (NOW, None), f"seed {self.seed}: it must be woken, and nothing is approved"
        assert after.refused_starts == known.changes, self.seed
        if isinstance(command, RunDied):
            assert after.state in (before.state, PromotionState.WAITING), self.seed
            known.died += 1
        if isinstance(command, EvaluationAllows | EvaluationDenies | EvaluationWaits | StartDeployment | PlanChanged):
            known.died = 0
        assert after.runs_died == known.died, self.seed
        if isinstance(command, StartDeployment):
            assert known.deployment in (None, command.deployment_id), self.seed
            known.deployment = command.deployment_id
        if after.state in (PromotionState.APPROVED, PromotionState.DEPLOYING, PromotionState.DEPLOYED):
            assert known.allowed_plan is not None, f"seed {self.seed}: {after.state} without an allow"
            assert after.plan_digest == known.allowed_plan, self.seed
            assert after.decision_packet is not None, self.seed
        assert after.attempt == known.attempt, self.seed
        known.end = after.state.value if after.state.value in ENDS else None


@pytest.mark.parametrize("seed", SEEDS)
def test_promotions_keep_their_promises(seed: int) -> None:
    world = World(seed, random.Random(seed))
    for _ in range(STEPS_PER_SEED):
        world.step()
    assert [name for name in CommandName if not world.seen[name]] == [], "a run that never gets somewhere proves nothing about it"
    assert [name for name in CommandName if not world.seen[f"refused {name}"]] == []


def test_a_run_takes_at_least_ten_thousand_steps() -> None:
    assert len(SEEDS) * STEPS_PER_SEED >= 10_000
