"""Replay: judge the stored inputs of a sealed decision again, rebuild its predicate, and compare the bytes.

The caller verifies the packet's signature (`evidence/stored.py`); replay answers another question: do the same inputs and rules still give
the same decision? What another configuration would have decided says `what_if.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stella_pipelines.core.canonical import canonical_digest, canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.promotions.decision import RULES, DecisionContext, JudgedGate, Outcome, decision_predicate, decision_record
from stella_pipelines.promotions.gates.judging import judge
from stella_pipelines.promotions.gates.port import GateKind
from stella_pipelines.promotions.gates.registry import gate_kinds, kind_named
from stella_pipelines.promotions.recorded_decision import ReadBlob, RecordedDecision, read_decision, read_input


class ReplayReport(Value):
    """Both digests are of the predicate's canonical bytes, without the seal that holds the packet's own place."""

    byte_equal: bool
    recorded_digest: Digest
    replayed_digest: Digest | None
    differences: tuple[str, ...]


def replay(packet: SealedPacket, read_blob: ReadBlob, kinds: Mapping[str, GateKind] | None = None) -> ReplayReport:
    """Decide again from the packet's inputs."""
    return replay_statement(packet.id, Statement.model_validate_json(read_envelope(packet.envelope).payload), read_blob, kinds)


def replay_statement(packet_id: str, statement: Statement, read_blob: ReadBlob, kinds: Mapping[str, GateKind] | None = None) -> ReplayReport:
    """The same for a packet whose statement is read already. Every input that the packet names must be there, whether it is judged or not."""
    decision = read_decision(packet_id, statement, read_blob)
    _require_the_rest(decision, statement, read_blob)
    context, recorded = decision.context, decision.claim
    judged = judged_again(decision, gate_kinds() if kinds is None else kinds)
    record = decision_record(context, judged)
    if isinstance(record, Outcome):
        reasons = tuple(f"Judged again, it is no decision but '{record.verdict}': {reason}" for reason in record.reasons or ("no reason given",))
        return ReplayReport(byte_equal=False, recorded_digest=canonical_digest(recorded), replayed_digest=None, differences=other_rules(context) + reasons)
    return _compare(recorded, decision_predicate(context, record, judged), context)


def judged_again(decision: RecordedDecision, kinds: Mapping[str, GateKind]) -> list[JudgedGate]:
    """The recorded gates with what they say about the recorded inputs now."""
    return [
        JudgedGate(reference=gate, inputs=decision.gates[gate.name], verdict=judge(kind_named(kinds, gate.kind), decision.gates[gate.name]))
        for gate in decision.context.gates
    ]


def other_rules(context: DecisionContext) -> tuple[str, ...]:
    """The sentence about rules that are not those of the decision, if so."""
    return () if context.rules == RULES else (f"It was decided by rules {context.rules}; these are {RULES}.",)


def _require_the_rest(decision: RecordedDecision, statement: Statement, read_blob: ReadBlob) -> None:
    judged = {"context", *(f"gate/{name}" for name in decision.gates)}
    for one in statement.inputs:
        if one.name not in judged:
            read_input({one.name: one.digest}, one.name, read_blob)


def _compare(recorded: dict[str, Any], replayed: dict[str, Any], context: DecisionContext) -> ReplayReport:
    return ReplayReport(
        byte_equal=canonical_json(recorded) == canonical_json(replayed),
        recorded_digest=canonical_digest(recorded),
        replayed_digest=canonical_digest(replayed),
        differences=other_rules(context) + tuple(_differences("", recorded, replayed)),
    )


def _differences(path: str, recorded: Any, replayed: Any) -> list[str]:
    """Where two JSON values differ, as readable lines."""
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        keys = sorted(set(recorded) | set(replayed))
        return [line for key in keys for line in _differences(f"{path}.{key}".lstrip("."), recorded.get(key), replayed.get(key))]
    if isinstance(recorded, list) and isinstance(replayed, list) and len(recorded) == len(replayed):
        return [line for number, pair in enumerate(zip(recorded, replayed, strict=True)) for line in _differences(f"{path}[{number}]", *pair)]
    return [] if recorded == replayed else [f"{path}: recorded {str(recorded)[:200]!r}, replayed {str(replayed)[:200]!r}"]
