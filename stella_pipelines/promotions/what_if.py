"""What would other rules have decided? A recorded decision's facts, judged under another estate. Pure, and nothing is written.

Each gate of the new estate is judged over the facts that a gate of the same name and kind gathered then; for kinds whose facts do not depend
on the gate, over those of another gate of the kind. Gates that left are not judged. What the recorded facts do not answer is *cannot be
judged* and never an allow. It leaves the whole decision open, unless another gate settles it: a deny is a deny whatever the rest says, and
what was allowed is not allowed any more as soon as one gate objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Environment, Estate, Gate
from stella_pipelines.promotions.decision import GateRecord, GateReference, Outcome, as_counted, combine
from stella_pipelines.promotions.gates.judging import judge
from stella_pipelines.promotions.gates.port import GateKind, GateVerdict, NamedDigest, Verdict, kind_of
from stella_pipelines.promotions.gates.registry import BrokenGate, gate_kinds, kind_named
from stella_pipelines.promotions.reconfigured import SHARED_FACTS, NewRules, Reconfigured, Unanswered, freeze_at, reconfigured
from stella_pipelines.promotions.recorded_decision import RecordedDecision
from stella_pipelines.promotions.replay import other_rules

Answer = Literal["stays", "changes", "cannot_be_judged"]


class GateAgain(Value):
    """One gate of the new estate over the recorded facts. `after` is None when it cannot be judged; `reasons` then say why."""

    name: str
    kind: str
    before: Verdict | None
    """What the gate of this name and kind said then."""
    after: Verdict | None
    reasons: tuple[str, ...]


class WhatIf(Value):
    """One past decision under the new estate. `after` may be `wait` or `error`: then nothing would have been decided at that time."""

    environment: str
    release: NamedDigest
    decided_at: Instant
    answer: Answer
    before: Literal["allow", "deny"]
    after: Verdict | None
    reasons: tuple[str, ...]
    gates: tuple[GateAgain, ...]
    gone: tuple[str, ...]
    """Gates of then that the new estate does not have."""


def what_if(decision: RecordedDecision, new: Estate, estate_then: Estate | None = None, kinds: Mapping[str, GateKind] | None = None) -> WhatIf:
    """What `new` would have decided. `estate_then` is the estate that held; it is needed for plugins only."""
    environment = new.environment(decision.context.environment)
    if environment is None:
        return _answer(decision, None, (f"The new estate declares no environment {decision.context.environment!r}.",), ())
    rules = NewRules(new, environment)
    then = None if estate_then is None else estate_then.environment(environment.name)
    available = gate_kinds() if kinds is None else kinds
    found = [(gate, _judge(gate, decision, rules, _gate_then(gate, then), available)) for gate in _gates(environment)]
    outcome = _outcome(decision, found, ungated=environment.gates == "none")
    after = None if outcome is None else outcome.verdict
    return _answer(decision, after, _reasons(decision, outcome, found), tuple(_again(decision, *one) for one in found))


def _outcome(decision: RecordedDecision, found: Sequence[tuple[Gate, GateVerdict | Unanswered]], *, ungated: bool) -> Outcome | None:
    """What the gates say together; None when those that cannot be judged could still make a difference."""
    said = [(gate.name, as_counted(decision.context, gate.name, kind_of(gate), verdict)) for gate, verdict in found if isinstance(verdict, GateVerdict)]
    if len(said) == len(found):
        return combine(said, ungated)
    outcome = combine(said, ungated) if said else None
    settled = outcome is not None and (outcome.verdict == "deny" or (decision.record.outcome == "allow" and outcome.verdict != "allow"))
    return outcome if settled else None


def _judge(gate: Gate, decision: RecordedDecision, rules: NewRules, gate_then: Gate | None, kinds: Mapping[str, GateKind]) -> GateVerdict | Unanswered:
    kind = kind_named(kinds, kind_of(gate))
    if isinstance(kind, BrokenGate):
        return Unanswered(why=f"gates of kind {kind.kind!r} cannot be used here: {kind.why}")
    asked = _asked(gate, decision, rules, gate_then)
    if isinstance(asked, Unanswered):
        return asked
    verdict = judge(kind, asked.inputs)
    if verdict.verdict == "wait" and asked.unasked is not None:
        return Unanswered(why=f"it would have waited for people who could not approve then: {asked.unasked}")
    return verdict


def _asked(gate: Gate, decision: RecordedDecision, rules: NewRules, gate_then: Gate | None) -> Reconfigured | Unanswered:
    source = _source(gate, decision.context.gates)
    if source is not None:
        return reconfigured(gate, decision.gates[source.name], rules, gate_then)
    if kind_of(gate) == "freeze_window":
        return freeze_at(gate, rules, decision.context.decided_at)
    return Unanswered(why=f"it is new: no gate of kind {kind_of(gate)} gathered its facts then")


def _source(gate: Gate, recorded: Sequence[GateReference]) -> GateReference | None:
    """The recorded gate whose facts this one would have gathered too."""
    alike = [one for one in recorded if one.kind == kind_of(gate)]
    shared = alike if gate.config.kind in SHARED_FACTS else []
    return next((one for one in alike if one.name == gate.name), None) or next(iter(shared), None)


def _reasons(decision: RecordedDecision, outcome: Outcome | None, found: Sequence[tuple[Gate, GateVerdict | Unanswered]]) -> tuple[str, ...]:
    """Why the outcome is another one, or why there is none."""
    if outcome is None:
        return tuple(f"{gate.name}: {said.why}." for gate, said in found if isinstance(said, Unanswered))
    if outcome.verdict == decision.record.outcome:
        return ()
    if outcome.verdict != "allow":
        return other_rules(decision.context) + outcome.reasons
    return other_rules(decision.context) + tuple(_no_objection(one, found) for one in decision.record.gates if one.verdict != "allow")


def _no_objection(then: GateRecord, found: Sequence[tuple[Gate, GateVerdict | Unanswered]]) -> str:
    now = next((said for gate, said in found if gate.name == then.name and kind_of(gate) == then.kind), None)
    if isinstance(now, GateVerdict):
        return f"{then.name}: {' '.join(now.reasons)}"
    return f"{then.name}: the new estate has no such gate. It said then: {' '.join(then.reasons)}"


def _again(decision: RecordedDecision, gate: Gate, said: GateVerdict | Unanswered) -> GateAgain:
    then = next((one.verdict for one in decision.record.gates if (one.name, one.kind) == (gate.name, kind_of(gate))), None)
    after, reasons = (said.verdict, said.reasons) if isinstance(said, GateVerdict) else (None, (said.why,))
    return GateAgain(name=gate.name, kind=kind_of(gate), before=then, after=after, reasons=reasons)


def _answer(decision: RecordedDecision, after: Verdict | None, reasons: tuple[str, ...], gates: tuple[GateAgain, ...]) -> WhatIf:
    before, context = decision.record.outcome, decision.context
    kept = {(gate.name, gate.kind) for gate in gates}
    return WhatIf(
        environment=context.environment,
        release=context.release,
        decided_at=context.decided_at,
        answer="cannot_be_judged" if after is None else "stays" if after == before else "changes",
        before=before,
        after=after,
        reasons=reasons,
        gates=gates,
        gone=tuple(gate.name for gate in context.gates if (gate.name, gate.kind) not in kept),
    )


def _gates(environment: Environment) -> tuple[Gate, ...]:
    return () if environment.gates == "none" else environment.gates


def _gate_then(gate: Gate, then: Environment | None) -> Gate | None:
    return next((one for one in _gates(then) if one.name == gate.name), None) if then is not None else None
