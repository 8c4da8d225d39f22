"""A sealed decision with the stored inputs that its gates judged, read by digest and checked against it. Nothing is judged here.

The caller verifies the packet's signature (`evidence/stored.py`). What the packet names is then either exactly there or an error: a changed
blob is never a different answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.promotions.decision import DecisionContext, DecisionRecord, GateReference
from stella_pipelines.promotions.gates.port import GateInputs

ReadBlob = Callable[[Digest], bytes]
AnyValue = TypeVar("AnyValue", bound=Value)


class NotADecision(StellaError):
    """Only decision packets can be replayed."""

    code = "EVID_NOT_A_DECISION"


class ReplayInputChanged(StellaError):
    """A stored input is missing from the packet, is not what its digest says, or is not of the form that it must have."""

    code = "EVID_REPLAY_INPUT_CHANGED"


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """What was sealed (`claim`, and `record` in it), and what was judged: the context, and the inputs of each of its gates by name."""

    claim: dict[str, Any]
    record: DecisionRecord
    context: DecisionContext
    gates: Mapping[str, GateInputs]


def read_decision(packet_id: str, statement: Statement, read_blob: ReadBlob) -> RecordedDecision:
    """The decision in a verified packet, with the inputs that its gates judged."""
    if statement.kind != "decision":
        raise NotADecision(f"Packet {packet_id[:80]} is a {statement.kind or 'packet of an unknown kind'}.", next_step="Replay a decision packet.")
    claim = statement.claim()
    named = {one.name: one.digest for one in statement.inputs}
    context = _form(DecisionContext, "context", read_input(named, "context", read_blob))
    return RecordedDecision(
        claim=claim,
        record=_record(claim),
        context=context,
        gates={gate.name: _gate_inputs(gate, named, read_blob) for gate in context.gates},
    )


def read_input(named: Mapping[str, Digest], name: str, read_blob: ReadBlob) -> bytes:
    """The bytes of one input, proven to be those that the packet names."""
    digest = named.get(name)
    if digest is None:
        raise changed(name, "the packet does not name it")
    content = read_blob(digest)
    if not digest.matches(content):
        raise changed(name, f"its bytes do not hash to {digest}")
    return content


def changed(name: str, why: str) -> ReplayInputChanged:
    """The error about one input."""
    return ReplayInputChanged(
        f"Input {name!r} of the decision cannot be replayed: {why}.", next_step="Restore the blob from a backup, and find out who changed it."
    )


def _gate_inputs(gate: GateReference, named: Mapping[str, Digest], read_blob: ReadBlob) -> GateInputs:
    name = f"gate/{gate.name}"
    inputs = _form(GateInputs, name, read_input(named, name, read_blob))
    if named[name] != gate.inputs or inputs.content_digest() != gate.inputs or inputs.kind != gate.kind:
        raise changed(name, "the decision's context names other inputs")
    return inputs


def _record(claim: Mapping[str, Any]) -> DecisionRecord:
    try:
        return DecisionRecord.model_validate(claim.get("decision"))
    except ValidationError as error:
        raise changed("decision", "the record does not have the form that this version reads") from error


def _form(form: type[AnyValue], name: str, content: bytes) -> AnyValue:
    try:
        return form.model_validate_json(content)
    except ValidationError as error:
        raise changed(name, "it does not have the form that this version reads") from error
