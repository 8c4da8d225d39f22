"""Runs a gate kind safely. A gate that raises is a recorded verdict `error`; it never allows and never takes the core down.

What a gate says goes into the database, onto screens and into sealed packets, so it is bounded here, whatever the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.words import as_words
from stella_pipelines.environments.model import Gate
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateKind, GateVerdict, error, kind_of

TEXT_CHARACTERS_MAX: Final = 500
"""How much of a foreign exception's text is kept."""
LINES_MAX: Final = 50
"""Reasons, and what would change them, that are kept of one verdict."""
LINE_CHARACTERS_MAX: Final = 1_000
"""How much of each of them is kept."""
APPROVERS_MAX: Final = 1_000
NAMED_DIGESTS_MAX: Final = 10_000
"""Materials and policies of one gate; each is named in the packet."""
NAME_CHARACTERS_MAX: Final = 200
"""The longest name of an approver, a material or a policy. Names are not cut, because they would be other names then."""


def gather(kind: GateKind, gate: Gate, context: GateContext) -> GateInputs:
    """The gate's inputs in their stored form, so that judging now and replaying later see the same values (30.0 is stored as 30)."""
    try:
        inputs = kind.gather(gate, context)
        _require_bounded(inputs)
        return GateInputs.model_validate_json(inputs.model_copy(update={"name": gate.name, "kind": kind_of(gate)}).canonical())
    except Exception as problem:  # noqa: BLE001 - gates are plugins and may raise anything; it becomes a recorded state
        return GateInputs(name=gate.name, kind=kind_of(gate), failure=_document(problem))


def judge(kind: GateKind, inputs: GateInputs) -> GateVerdict:
    """The gate's verdict over stored inputs."""
    if inputs.failure is not None:
        return _failed("could not gather its facts", str(inputs.failure.get("what", "")), str(inputs.failure.get("next_step", "")))
    try:
        return _bounded(GateVerdict.model_validate_json(kind.judge(inputs).canonical()))
    except Exception as problem:  # noqa: BLE001 - as above: whatever a gate raises is an `error` verdict, not a crash
        document = _document(problem)
        return _failed("could not judge its inputs", str(document["what"]), str(document["next_step"]))


def _failed(what: str, why: str, next_step: str) -> GateVerdict:
    return _bounded(error(f"The gate {what}: {why}", would_change=(next_step or "Repair the gate; it is asked again by itself.",)))


def _bounded(verdict: GateVerdict) -> GateVerdict:
    if len(verdict.approvers) > APPROVERS_MAX or any(len(name) > NAME_CHARACTERS_MAX for name in verdict.approvers):
        raise ValueError(f"it names more than {APPROVERS_MAX} approvers, or one with more than {NAME_CHARACTERS_MAX} characters")
    return verdict.model_copy(update={"reasons": _lines(verdict.reasons), "would_change": _lines(verdict.would_change)})


def _lines(lines: Sequence[str]) -> tuple[str, ...]:
    """The first lines, each cut to its length, and how many were left out."""
    kept = lines if len(lines) <= LINES_MAX else (*lines[: LINES_MAX - 1], f"… and {len(lines) - LINES_MAX + 1} more.")
    return tuple(as_words(line if len(line) <= LINE_CHARACTERS_MAX else line[: LINE_CHARACTERS_MAX - 1] + "…") for line in kept)


def _require_bounded(inputs: GateInputs) -> None:
    for what, named in (("materials", inputs.materials), ("policies", inputs.policies)):
        if len(named) > NAMED_DIGESTS_MAX or any(len(one.name) > NAME_CHARACTERS_MAX for one in named):
            raise ValueError(f"it names more than {NAMED_DIGESTS_MAX} {what}, or one with more than {NAME_CHARACTERS_MAX} characters")


def _document(problem: Exception) -> dict[str, object]:
    if isinstance(problem, StellaError):
        return dict(problem.document())
    # Only the first line, and no object addresses or paths from a traceback: the inputs are stored and must not vary from run to run.
    first_line = (str(problem).splitlines() or [""])[0][:TEXT_CHARACTERS_MAX]
    return {"code": "GATE_FAILED", "what": f"{type(problem).__name__}: {first_line}", "next_step": "Repair the gate; it is asked again by itself."}
