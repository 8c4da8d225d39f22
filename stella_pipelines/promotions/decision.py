"""From verdicts to a decision, and from a decision to the bytes that are sealed. Pure.

Any deny rejects, whatever the approvals say. Else any error keeps it waiting. Else any wait waits. Only when every gate allows is it allowed,
and an empty list of gates allows only where the environment says `none`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.gates.port import GateInputs, GateVerdict, NamedDigest, Verdict, allow
from stella_pipelines.promotions.overrides import ConfirmedOverride, Judged, overruling

RULES: Final = "stella-rules/1"
"""Which rules decided. It changes when a verdict over the same inputs could change, so that an old packet is not judged by new rules unnoticed."""
RETRY_FIRST_S: Final = 5.0
RETRY_LONGEST_S: Final = 900.0


class Outcome(Value):
    """What the gates say together. `until` is the earliest time at which asking again may help."""

    verdict: Verdict
    until: Instant | None = None
    reasons: tuple[str, ...] = ()


def combine(verdicts: Sequence[tuple[str, GateVerdict]], ungated: bool) -> Outcome:
    """The outcome of all gates. See the module's docstring for the order."""
    if bool(verdicts) == ungated:
        return Outcome(verdict="error", reasons=("No gate was asked, and the environment does not say 'gates: none'.",))
    for name in ("deny", "error", "wait"):
        chosen = [(gate, verdict) for gate, verdict in verdicts if verdict.verdict == name]
        if chosen:
            times = [verdict.wait_until for _, verdict in chosen if verdict.wait_until is not None]
            reasons = tuple(f"{gate}: {reason}" for gate, verdict in chosen for reason in verdict.reasons)
            return Outcome(verdict=chosen[0][1].verdict, until=min(times, default=None), reasons=reasons)
    return Outcome(verdict="allow")


def retry_after_s(errors_before: int) -> float:
    """How long to wait after an error: 5 s, doubled for each error in a row before it, at most 15 minutes."""
    return doubled_s(errors_before, RETRY_LONGEST_S)


def doubled_s(times: int, longest_s: float) -> float:
    """The first pause, doubled so many times, and never longer than the longest."""
    # The exponent is bounded first: 2 ** a_million would be computed exactly.
    return float(min(RETRY_FIRST_S * 2 ** min(times, 16), longest_s))


class GateReference(Value):
    """Which stored inputs a gate judged."""

    name: str
    kind: str
    inputs: Digest


class DecisionContext(Value):
    """Everything that a decision record holds beside what the gates say. Stored as a blob, so that replay needs no database row."""

    rules: str
    promotion_id: str
    evaluation_id: str
    attempt: int
    environment: str
    ungated: bool
    release: NamedDigest
    plan_digest: Digest
    estate_digest: Digest
    requested_by: Actor
    reason: str
    requested_at: Instant
    begun_at: Instant
    decided_at: Instant
    notes: tuple[str, ...] = ()
    overrides: tuple[ConfirmedOverride, ...] = ()
    """Overrides of this plan that were in force; which of them overrule a gate is judged again by every replay."""
    gates: tuple[GateReference, ...]


class JudgedGate(Value):
    """A gate's stored inputs and its verdict over them."""

    reference: GateReference
    inputs: GateInputs
    verdict: GateVerdict


class GateRecord(GateReference):
    """A gate as the decision names it."""

    verdict: Verdict
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    wait_until: Instant | None


class OverriddenGate(Value):
    """A gate whose word did not count, by the packet of the override."""

    gate: str
    override_id: str
    packet_id: str
    packet: Digest


class DecisionRecord(Value):
    """The decision as it is sealed. The same context and inputs give the same bytes. `notes` are what its reader must know beside the gates."""

    rules: str
    outcome: Literal["allow", "deny"]
    environment: str
    ungated: bool
    release: NamedDigest
    plan_digest: Digest
    promotion_id: str
    evaluation_id: str
    attempt: int
    requested_by: Actor
    reason: str
    approvers: tuple[str, ...]
    policies: tuple[NamedDigest, ...]
    notes: tuple[str, ...] = ()
    overridden: tuple[OverriddenGate, ...] = ()
    gates: tuple[GateRecord, ...]


def decision_record(context: DecisionContext, judged: Sequence[JudgedGate]) -> DecisionRecord | Outcome:
    """The record of an allow or a deny; any other outcome is no decision, and is returned as it is."""
    outcome = combine([(gate.reference.name, as_counted(context, gate.reference.name, gate.reference.kind, gate.verdict)) for gate in judged], context.ungated)
    if outcome.verdict not in ("allow", "deny"):
        return outcome
    return DecisionRecord(
        outcome="allow" if outcome.verdict == "allow" else "deny",
        approvers=tuple(sorted({name for gate in judged for name in gate.verdict.approvers})),
        policies=_distinct(policy for gate in judged for policy in gate.inputs.policies),
        overridden=overridden_gates(context, judged),
        gates=tuple(_gate_record(gate) for gate in judged),
        **{name: getattr(context, name) for name in DecisionRecord.model_fields if name in DecisionContext.model_fields and name != "gates"},
    )


def overridden_gates(context: DecisionContext, judged: Sequence[JudgedGate]) -> tuple[OverriddenGate, ...]:
    """The gates that do not allow, and whose word two people overruled."""
    found = [(gate.reference, override_of(context, gate.reference.name, gate.reference.kind, gate.verdict)) for gate in judged]
    return tuple(
        OverriddenGate(gate=gate.name, override_id=one.override_id, packet_id=one.packet_id, packet=one.packet) for gate, one in found if one is not None
    )


def as_counted(context: DecisionContext, gate: str, kind: str, said: GateVerdict) -> GateVerdict:
    """What a gate's word counts as. The word itself stays recorded as it was."""
    return said if override_of(context, gate, kind, said) is None else allow("overridden")


def override_of(context: DecisionContext, gate: str, kind: str, said: GateVerdict) -> ConfirmedOverride | None:
    """The override that overrules a gate's word in this decision."""
    about = Judged(
        environment=context.environment,
        release_digest=context.release.digest,
        plan_digest=context.plan_digest,
        requested_by=context.requested_by,
        at=context.decided_at,
    )
    return overruling(context.overrides, gate, kind, said, about)


def decision_predicate(context: DecisionContext, record: DecisionRecord, judged: Sequence[JudgedGate]) -> dict[str, Any]:
    """The predicate of the evidence packet: the record, named times, and the digest of every input."""
    inputs = [
        NamedDigest(name="context", digest=context.content_digest()),
        NamedDigest(name="plan", digest=context.plan_digest),
        NamedDigest(name="estate", digest=context.estate_digest),
        *(NamedDigest(name=f"gate/{gate.reference.name}", digest=gate.reference.inputs) for gate in judged),
        *_distinct(material for gate in judged for material in gate.inputs.materials),
        *(NamedDigest(name=f"override/{one.gate}", digest=one.packet) for one in record.overridden),
    ]
    return {
        "stella": {"version": 1},
        "decision": record.document(),
        "inputs": [one.document() for one in inputs],
        "times": {name: format_instant(getattr(context, name)) for name in ("requested_at", "begun_at", "decided_at")},
    }


def _gate_record(gate: JudgedGate) -> GateRecord:
    said = gate.verdict
    return GateRecord(**dict(gate.reference), verdict=said.verdict, reasons=said.reasons, would_change=said.would_change, wait_until=said.wait_until)


def _distinct(named: Iterable[NamedDigest]) -> tuple[NamedDigest, ...]:
    return tuple(sorted(set(named), key=lambda one: (one.name, one.digest)))
