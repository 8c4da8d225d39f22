"""The policy gate: a CEL expression over `release`, `environment` and `plan`. Only `true` allows.

An expression that does not compile, that fails (an unknown field, a division by zero) or that gives no bool is an `error`: it did not say yes.
CEL has no clock and no I/O, and only the core library is offered, so that judging is pure. What is unknown is absent from the documents.
An expression that takes too long or too much memory is an `error` too (`cel_evaluation.py` says how much that is).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Gate, PolicyGateConfig
from stella_pipelines.promotions.gates.cel_evaluation import CelAnswer, evaluate
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateVerdict, NamedDigest, allow, deny, error


class PolicyInputs(Value):
    """The policy's text with its digest, and the three documents that it is asked about."""

    policy: str
    cel: str
    message: str
    digest: Digest
    release: dict[str, Any]
    environment: dict[str, Any]
    plan: dict[str, Any] | None


class PolicyGate:
    """See the module's docstring."""

    kind = "policy"

    def __init__(self, evaluate: Callable[[str, Mapping[str, Any]], CelAnswer] = evaluate) -> None:
        self._evaluate = evaluate

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        """The policy as the estate declares it now, and the documents."""
        if not isinstance(gate.config, PolicyGateConfig):
            raise TypeError("not a policy gate")
        policy = context.estate.policy(gate.config.policy)
        if policy is None:
            raise LookupError(f"the estate declares no policy {gate.config.policy!r}")
        facts = PolicyInputs(
            policy=policy.name,
            cel=policy.cel,
            message=policy.message,
            digest=Digest.of(policy.cel.encode()),
            release=_known(release_document(context)),
            environment=_known(context.environment.document()),
            plan=None if context.plan is None else _known(context.plan),
        )
        digest = NamedDigest(name=policy.name, digest=facts.digest)
        return GateInputs(name=gate.name, kind=self.kind, facts=facts.document(), policies=(digest,))

    def judge(self, inputs: GateInputs) -> GateVerdict:
        """True allows, false denies, everything else is an error."""
        facts = PolicyInputs.model_validate(inputs.facts)
        repair = (f"Correct policy {facts.policy} in the estate file and apply it; the gate is asked again.",)
        if not facts.digest.matches(facts.cel.encode()):
            return error(f"The text of policy {facts.policy} does not match its digest.", would_change=repair)
        said = self._evaluate(facts.cel, {"release": facts.release, "environment": facts.environment, "plan": facts.plan})
        if said.answer is None:
            return error(f"Policy {facts.policy} could not be evaluated: {said.problem}.", would_change=repair)
        if said.answer:
            return allow(f"Policy {facts.policy} ({facts.digest.short}) holds.")
        what = facts.message or f"The expression is false: {facts.cel}"
        return deny(f"Policy {facts.policy} ({facts.digest.short}) does not hold. {what}", would_change=(f"Meet the policy, then request again: {facts.cel}",))


def release_document(context: GateContext) -> dict[str, Any]:
    """The release as policies see it: its content, its identity and its lifecycle state."""
    record = context.release
    return {**record.release.document(), "label": record.label, "digest": record.digest, "state": record.state.value}


def _known(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without its nulls: what is unknown is absent, so that `has(release.source.commit)` asks what it seems to ask."""
    return {key: _known_value(value) for key, value in document.items() if value is not None}


def _known_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _known(value)
    return [_known_value(one) for one in value] if isinstance(value, list | tuple) else value
