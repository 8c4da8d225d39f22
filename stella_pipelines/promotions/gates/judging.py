"""Runs a gate kind safely. A gate that raises is a recorded verdict `error`; it never allows and never takes the core down."""

from __future__ import annotations

from typing import Final

from stella_pipelines.core.errors import StellaError
from stella_pipelines.environments.model import Gate
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateKind, GateVerdict, error, kind_of

TEXT_CHARACTERS_MAX: Final = 500
"""How much of a foreign exception's text is kept."""


def gather(kind: GateKind, gate: Gate, context: GateContext) -> GateInputs:
    """The gate's inputs in their stored form, so that judging now and replaying later see the same values (30.0 is stored as 30)."""
    try:
        inputs = kind.gather(gate, context)
        return GateInputs.model_validate_json(inputs.model_copy(update={"name": gate.name, "kind": kind_of(gate)}).canonical())
    except Exception as problem:  # noqa: BLE001 - gates are plugins and may raise anything; it becomes a recorded state
        return GateInputs(name=gate.name, kind=kind_of(gate), failure=_document(problem))


def judge(kind: GateKind, inputs: GateInputs) -> GateVerdict:
    """The gate's verdict over stored inputs."""
    if inputs.failure is not None:
        return _failed("could not gather its facts", str(inputs.failure.get("what", "")), str(inputs.failure.get("next_step", "")))
    try:
        return GateVerdict.model_validate_json(kind.judge(inputs).canonical())
    except Exception as problem:  # noqa: BLE001 - as above: whatever a gate raises is an `error` verdict, not a crash
        document = _document(problem)
        return _failed("could not judge its inputs", str(document["what"]), str(document["next_step"]))


def _failed(what: str, why: str, next_step: str) -> GateVerdict:
    return error(f"The gate {what}: {why}", would_change=(next_step or "Repair the gate; it is asked again by itself.",))


def _document(problem: Exception) -> dict[str, object]:
    if isinstance(problem, StellaError):
        return dict(problem.document())
    # Only the first line, and no object addresses or paths from a traceback: the inputs are stored and must not vary from run to run.
    first_line = (str(problem).splitlines() or [""])[0][:TEXT_CHARACTERS_MAX]
    return {"code": "GATE_FAILED", "what": f"{type(problem).__name__}: {first_line}", "next_step": "Repair the gate; it is asked again by itself."}
