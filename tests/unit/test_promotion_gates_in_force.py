"""What counts as a change of an environment's gates, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from stella_pipelines.environments.model import Environment, Estate
from stella_pipelines.promotions.gates_in_force import GatesInForce, change_since, gates_in_force
from tests.support.promotions import NOW, digest, environment

WINDOW = {"name": "sale", "reason": "r", "starts_at": NOW, "ends_at": NOW.replace(hour=23)}


def judged_by(where: Environment, **estate: Any) -> GatesInForce:
    policies = [{"name": "yes", "cel": "true"}, {"name": "other", "cel": "true"}]
    return gates_in_force(Estate.model_validate({"policies": policies, **estate}), 1, where)


def gated(soak_s: float = 5, **more: object) -> Environment:
    gates = [{"name": "rule", "config": {"kind": "policy", "policy": "yes"}}, {"name": "proven", "config": {"kind": "previous_environment", "soak_s": soak_s}}]
    return environment(gates=gates, promotes_from=["staging"], **more)


@pytest.mark.parametrize(
    "other",
    [
        judged_by(gated(soak_s=0)),
        judged_by(environment()),
        judged_by(gated().model_copy(update={"gates": gated().gates[:1]})),
        judged_by(gated().model_copy(update={"promotes_from": ("staging", "qa")})),
        judged_by(gated(promotes_from_rule="any")),
        judged_by(gated(), policies=[{"name": "yes", "cel": "1 == 1"}, {"name": "other", "cel": "true"}]),
        judged_by(gated(), policies=[]),
    ],
    ids=["a setting", "none", "a gate less", "another upstream", "any upstream", "the text of its policy", "its policy is gone"],
)
def test_these_are_other_gates(other: GatesInForce) -> None:
    assert other.digest != judged_by(gated()).digest


@pytest.mark.parametrize(
    "same",
    [
        judged_by(gated(deployment_timeout_s=77)),
        judged_by(gated(), freeze_windows=[WINDOW]),
        judged_by(gated(), policies=[{"name": "yes", "cel": "true"}, {"name": "other", "cel": "false"}]),
    ],
    ids=["another setting", "a freeze window", "another policy"],
)
def test_these_are_the_same_gates(same: GatesInForce) -> None:
    assert same.digest == judged_by(gated()).digest


def test_a_change_is_said_with_its_revisions() -> None:
    one, other = GatesInForce(digest=digest("a"), estate_revision=3), GatesInForce(digest=digest("b"), estate_revision=5)
    assert change_since(one, other) == "Gates changed since the request: estate revision 3 → 5."
    assert change_since(one, one.model_copy(update={"estate_revision": 5})) is None
    assert change_since(None, other) is None
