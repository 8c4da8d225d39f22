"""What each kind of gate would have judged under other settings: the recorded facts with the new configuration in them. Pure.

Facts are what was found out at the time: approvals, deployments, reports, documents, the time itself. Settings are what the estate file says:
thresholds, groups, texts, windows. Only settings are replaced. Where the recorded facts do not answer the new question, the answer is a
sentence that says so, and never a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import as_words
from stella_pipelines.environments.model import (
    ApprovalGateConfig,
    Environment,
    Estate,
    FreezeWindow,
    Gate,
    PluginGateConfig,
    PolicyGateConfig,
    PreviousEnvironmentGateConfig,
)
from stella_pipelines.promotions.gates.approval import ApprovalInputs
from stella_pipelines.promotions.gates.freeze_window import FreezeInputs
from stella_pipelines.promotions.gates.policy import PolicyInputs
from stella_pipelines.promotions.gates.port import GateInputs, NamedDigest
from stella_pipelines.promotions.gates.previous_environment import PreviousInputs
from stella_pipelines.promotions.gates.security import SecurityInputs
from stella_pipelines.promotions.promotion import EligibleGroup

FAILURE_CHARACTERS_MAX: Final = 200
"""How much is repeated of why facts could not be gathered."""
SHARED_FACTS: Final = frozenset({"freeze_window", "previous_environment", "policy", "security"})
"""Kinds whose facts are the same for every gate of that kind in one evaluation, so that a gate under a new name can judge another one's."""


class Unanswered(Value):
    """Why the recorded facts do not answer what the new configuration asks."""

    why: str


class Reconfigured(Value):
    """What the gate would have judged. `unasked`: who could have ended a wait under the new settings, and could not speak then."""

    inputs: GateInputs
    unasked: str | None = None


@dataclass(frozen=True, slots=True)
class NewRules:
    """The estate that is tried, and the environment of it that a decision was about."""

    estate: Estate
    environment: Environment


def reconfigured(gate: Gate, recorded: GateInputs, rules: NewRules, gate_then: Gate | None) -> Reconfigured | Unanswered:
    """The recorded inputs of a gate of this kind, under the new settings. `gate_then` is the gate as the estate of that time declared it, if known."""
    if recorded.failure is not None:
        return Unanswered(why=f"its facts could not be gathered then: {as_words(str(recorded.failure.get('what')))[:FAILURE_CHARACTERS_MAX].rstrip('.')}")
    if isinstance(gate.config, PluginGateConfig):
        return _plugin(gate, recorded, gate_then)
    try:
        return _KINDS[gate.config.kind](gate, recorded, rules)
    except ValidationError:
        return Unanswered(why="its recorded facts have a form that this version does not read")


def freeze_at(gate: Gate, rules: NewRules, now: Instant) -> Reconfigured:
    """What a freeze window gate would have judged where none was: it asks about nothing but the time, which every decision records."""
    facts = FreezeInputs(environment=rules.environment.name, windows=_windows(rules), now=now)
    return Reconfigured(inputs=_stored_form(GateInputs(name=gate.name, kind=gate.config.kind, facts=facts.document())))


def _freeze(gate: Gate, recorded: GateInputs, rules: NewRules) -> Reconfigured | Unanswered:
    facts = FreezeInputs.model_validate(recorded.facts)
    return _with_facts(gate, recorded, facts.model_copy(update={"windows": _windows(rules)}))


def _windows(rules: NewRules) -> tuple[FreezeWindow, ...]:
    name = rules.environment.name
    return tuple(window for window in rules.estate.freeze_windows if not window.environments or name in window.environments)


def _approval(gate: Gate, recorded: GateInputs, rules: NewRules) -> Reconfigured | Unanswered:
    """Whoever is in a group only now counts as eligible at the request, as the new settings would have had it; but nobody could ask for their word."""
    del rules
    facts, config = ApprovalInputs.model_validate(recorded.facts), gate.config
    if not isinstance(config, ApprovalGateConfig):
        raise TypeError("not an approval gate")
    then = {(group.name, member.casefold()) for group in facts.config.groups for member in group.members}
    joined = [(group.name, name) for group in config.groups for name in group.members if (group.name, name.casefold()) not in then]
    eligible = (*facts.eligible, *(EligibleGroup(gate=gate.name, group=group, members=(name,)) for group, name in joined))
    found = _with_facts(gate, recorded, facts.model_copy(update={"config": config, "eligible": eligible}))
    return found.model_copy(update={"unasked": ", ".join(f"{name} ({group})" for group, name in joined) or None})


def _previous(gate: Gate, recorded: GateInputs, rules: NewRules) -> Reconfigured | Unanswered:
    facts, config = PreviousInputs.model_validate(recorded.facts), gate.config
    if not isinstance(config, PreviousEnvironmentGateConfig):
        raise TypeError("not a previous_environment gate")
    known = {upstream.environment: upstream for upstream in facts.upstreams}
    missing = [name for name in rules.environment.promotes_from if name not in known]
    if missing:
        return Unanswered(why=f"nobody looked then whether the release was in {', '.join(missing)}")
    changes = {
        "rule": rules.environment.promotes_from_rule,
        "soak_s": config.soak_s,
        "upstreams": tuple(known[name] for name in rules.environment.promotes_from),
    }
    return _with_facts(gate, recorded, facts.model_copy(update=changes))


def _policy(gate: Gate, recorded: GateInputs, rules: NewRules) -> Reconfigured | Unanswered:
    """The new text over the recorded documents: the release, the environment and the plan as they were."""
    facts, config = PolicyInputs.model_validate(recorded.facts), gate.config
    if not isinstance(config, PolicyGateConfig):
        raise TypeError("not a policy gate")
    policy = rules.estate.policy(config.policy)
    if policy is None:
        return Unanswered(why=f"there is no policy {config.policy!r}")
    digest = Digest.of(policy.cel.encode())
    changed = facts.model_copy(update={"policy": policy.name, "cel": policy.cel, "message": policy.message, "digest": digest})
    named = recorded.model_copy(update={"policies": (NamedDigest(name=policy.name, digest=digest),)})
    return _with_facts(gate, named, changed)


def _security(gate: Gate, recorded: GateInputs, rules: NewRules) -> Reconfigured | Unanswered:
    del rules
    facts = SecurityInputs.model_validate(recorded.facts)
    return _with_facts(gate, recorded, facts.model_copy(update={"config": gate.config}))


def _plugin(gate: Gate, recorded: GateInputs, gate_then: Gate | None) -> Reconfigured | Unanswered:
    if gate_then != gate:
        return Unanswered(why="its settings changed, and only the plugin knows what follows from them")
    return Reconfigured(inputs=recorded)


def _with_facts(gate: Gate, recorded: GateInputs, facts: Value) -> Reconfigured:
    return Reconfigured(inputs=_stored_form(recorded.model_copy(update={"name": gate.name, "facts": facts.document()})))


def _stored_form(inputs: GateInputs) -> GateInputs:
    """As `judging.gather` stores them, so that equal settings give equal bytes (30.0 is stored as 30)."""
    return GateInputs.model_validate_json(inputs.canonical())


_KINDS: Final[dict[str, Callable[[Gate, GateInputs, NewRules], Reconfigured | Unanswered]]] = {
    "freeze_window": _freeze,
    "approval": _approval,
    "previous_environment": _previous,
    "policy": _policy,
    "security": _security,
}
