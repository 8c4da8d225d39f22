"""Replay: judge the stored inputs of a sealed decision again, rebuild its predicate, and compare the bytes.

The caller verifies the packet's signature (`evidence/verify.py`); replay answers another question: do the same inputs and rules still give
the same decision? Every input is read by digest and checked against it, so a changed blob is an error, not a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from stella_pipelines.core.canonical import canonical_digest, canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.promotions.decision import RULES, DecisionContext, GateReference, JudgedGate, Outcome, decision_predicate, decision_record
from stella_pipelines.promotions.gates.judging import judge
from stella_pipelines.promotions.gates.port import GateInputs, GateKind
from stella_pipelines.promotions.gates.registry import gate_kinds, kind_named

ReadBlob = Callable[[Digest], bytes]
AnyValue = TypeVar("AnyValue", bound=Value)


class NotADecision(StellaError):
    """Only decision packets can be replayed."""

    code = "EVID_NOT_A_DECISION"


class ReplayInputChanged(StellaError):
    """A stored input is missing from the packet, is not what its digest says, or is not of the form that it must have."""

    code = "EVID_REPLAY_INPUT_CHANGED"


class ReplayReport(Value):
    """Both digests are of the predicate's canonical bytes, without the seal that holds the packet's own place."""

    byte_equal: bool
    recorded_digest: Digest
    replayed_digest: Digest | None
    differences: tuple[str, ...]


def replay(packet: SealedPacket, read_blob: ReadBlob, kinds: Mapping[str, GateKind] | None = None) -> ReplayReport:
    """Decide again from the packet's inputs."""
    statement = Statement.model_validate_json(read_envelope(packet.envelope).payload)
    if statement.kind != "decision":
        raise NotADecision(f"Packet {packet.id} is a {statement.kind or 'packet of an unknown kind'}.", next_step="Replay a decision packet.")
    recorded = statement.claim()
    inputs = {one.name: _read(one.name, one.digest, read_blob) for one in statement.inputs}
    context = _parsed(inputs, "context", DecisionContext)
    available = gate_kinds() if kinds is None else kinds
    judged = [_judge_again(reference, inputs, available) for reference in context.gates]
    record = decision_record(context, judged)
    if isinstance(record, Outcome):
        reasons = tuple(f"Judged again, it is no decision but '{record.verdict}': {reason}" for reason in record.reasons or ("no reason given",))
        return ReplayReport(byte_equal=False, recorded_digest=canonical_digest(recorded), replayed_digest=None, differences=_rules(context) + reasons)
    return _compare(recorded, decision_predicate(context, record, judged), context)


def _compare(recorded: dict[str, Any], replayed: dict[str, Any], context: DecisionContext) -> ReplayReport:
    return ReplayReport(
        byte_equal=canonical_json(recorded) == canonical_json(replayed),
        recorded_digest=canonical_digest(recorded),
        replayed_digest=canonical_digest(replayed),
        differences=_rules(context) + tuple(_differences("", recorded, replayed)),
    )


def _rules(context: DecisionContext) -> tuple[str, ...]:
    return () if context.rules == RULES else (f"It was decided by rules {context.rules}; these are {RULES}.",)


def _judge_again(reference: GateReference, inputs: Mapping[str, bytes], kinds: Mapping[str, GateKind]) -> JudgedGate:
    name = f"gate/{reference.name}"
    gate_inputs = _parsed(inputs, name, GateInputs)
    if gate_inputs.content_digest() != reference.inputs or gate_inputs.kind != reference.kind:
        raise _changed(name, "the decision's context names other inputs")
    return JudgedGate(reference=reference, inputs=gate_inputs, verdict=judge(kind_named(kinds, reference.kind), gate_inputs))


def _read(name: str, digest: Digest, read_blob: ReadBlob) -> bytes:
    content = read_blob(digest)
    if not digest.matches(content):
        raise _changed(name, f"its bytes do not hash to {digest}")
    return content


def _parsed(inputs: Mapping[str, bytes], name: str, form: type[AnyValue]) -> AnyValue:
    try:
        return form.model_validate_json(inputs[name])
    except KeyError as error:
        raise _changed(name, "the packet does not name it") from error
    except ValidationError as error:
        raise _changed(name, "it does not have the form that this version reads") from error


def _changed(name: str, why: str) -> ReplayInputChanged:
    return ReplayInputChanged(
        f"Input {name!r} of the decision cannot be replayed: {why}.", next_step="Restore the blob from a backup, and find out who changed it."
    )


def _differences(path: str, recorded: Any, replayed: Any) -> list[str]:
    """Where two JSON values differ, as readable lines."""
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        keys = sorted(set(recorded) | set(replayed))
        return [line for key in keys for line in _differences(f"{path}.{key}".lstrip("."), recorded.get(key), replayed.get(key))]
    if isinstance(recorded, list) and isinstance(replayed, list) and len(recorded) == len(replayed):
        return [line for number, pair in enumerate(zip(recorded, replayed, strict=True)) for line in _differences(f"{path}[{number}]", *pair)]
    return [] if recorded == replayed else [f"{path}: recorded {str(recorded)[:200]!r}, replayed {str(replayed)[:200]!r}"]
