"""Which gates an environment has, as one digest: to say so when a promotion is judged by other gates than those it was requested under. Pure.

The gates in force are those of the current estate, also for promotions that wait already: a promotion must not slip in under rules that
were made stricter meanwhile. A change is never silent, though: the evaluation, the sealed decision and `explain` say it.
"""

from __future__ import annotations

from typing import Any

from stella_pipelines.core.canonical import canonical_digest
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Environment, Estate, Gate, PolicyGateConfig


class GatesInForce(Value):
    """An environment's gates in one revision of the estate."""

    digest: Digest
    estate_revision: int


def gates_in_force(estate: Estate, revision: int, environment: Environment) -> GatesInForce:
    """The digest of what was declared, and where."""
    return GatesInForce(digest=canonical_digest(declared_gates(estate, environment)), estate_revision=revision)


def declared_gates(estate: Estate, environment: Environment) -> dict[str, Any]:
    """The gates with everything declared that they judge by: their settings, the upstream environments, and the texts of their policies.

    Freeze windows are a calendar and no gate settings; the gate names those that are open.
    """
    gates: tuple[Gate, ...] = () if environment.gates == "none" else environment.gates
    policies = [estate.policy(gate.config.policy) for gate in gates if isinstance(gate.config, PolicyGateConfig)]
    return {
        "gates": "none" if environment.gates == "none" else [gate.document() for gate in gates],
        "promotes_from": list(environment.promotes_from),
        "promotes_from_rule": environment.promotes_from_rule.value,
        "policies": [policy.document() for policy in policies if policy is not None],
    }


def change_since(requested: GatesInForce | None, now: GatesInForce) -> str | None:
    """The sentence about a change, or None when the gates are the same."""
    if requested is None or requested.digest == now.digest:
        return None
    return f"Gates changed since the request: estate revision {requested.estate_revision} → {now.estate_revision}."
