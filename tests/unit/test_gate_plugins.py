"""Gates come through entry points; a broken one is an `error` verdict, and never takes the core down."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stella_pipelines.environments.model import Estate, Gate, PluginGateConfig
from stella_pipelines.promotions.approvals import Approval
from stella_pipelines.promotions.gates.judging import gather, judge
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateVerdict, GivenReport, allow, kind_of
from stella_pipelines.promotions.gates.registry import GROUP, BrokenGate, _declared_by_checkout, gate_kinds, kind_named
from stella_pipelines.promotions.proven import ProvenDeployment
from tests.support.promotions import NOW, PLAN, SetClock, digest, environment, promotion, shop

MODULE = "tests.unit.test_gate_plugins"
GATE = Gate(name="lunar", config=PluginGateConfig(gate="moon_phase", config={"phase": 0.5}))


class NoFacts:
    """A window with nothing behind it."""

    def approvals(self) -> tuple[Approval, ...]:
        return ()

    def last_proven(self, environment: str) -> ProvenDeployment | None:
        return None

    def reports(self) -> tuple[GivenReport, ...]:
        return ()


CONTEXT = GateContext(shop(), environment(), Estate(), promotion(), PLAN, digest("plan"), NOW, NoFacts())


class MoonPhase:
    """A plugin's gate."""

    kind = "moon_phase"

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        return GateInputs(name=gate.name, kind=self.kind, facts={"limit": 30.0})

    def judge(self, inputs: GateInputs) -> GateVerdict:
        return allow(f"The limit is {inputs.facts['limit']!r}.")


class Exploding(MoonPhase):
    """A plugin that raises everywhere."""

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        raise ZeroDivisionError("moon\nsecond line")

    def judge(self, inputs: GateInputs) -> GateVerdict:
        raise KeyError("moon")


class Untyped(MoonPhase):
    """A plugin that answers nonsense."""

    def judge(self, inputs: GateInputs) -> GateVerdict:
        return GateVerdict.model_construct(verdict="certainly", reasons=())  # type: ignore[arg-type]  # that is what a careless plugin does


class NeedsArguments(MoonPhase):
    """A plugin that cannot be built."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock


def point(name: str, target: str) -> EntryPoint:
    return EntryPoint(name, target, GROUP)


def test_the_built_ins_come_through_the_declarations() -> None:
    kinds = gate_kinds()
    assert {"approval", "freeze_window", "policy", "previous_environment", "security"} <= set(kinds)
    assert [name for name, kind in kinds.items() if isinstance(kind, BrokenGate)] == []


def test_a_plugin_is_loaded_and_judges_the_stored_form() -> None:
    kind = kind_named(gate_kinds([point("moon_phase", f"{MODULE}:MoonPhase")]), kind_of(GATE))
    inputs = gather(kind, GATE, CONTEXT)
    assert judge(kind, inputs).reasons == ("The limit is 30.",)
    assert GateInputs.model_validate_json(inputs.canonical()) == inputs


@pytest.mark.parametrize(
    ("points", "why"),
    [
        ([], "nothing installed declares it"),
        ([("moon_phase", "no.such.module:Gate")], "does not load: ModuleNotFoundError"),
        ([("moon_phase", f"{MODULE}:NoSuchGate")], "does not load: AttributeError"),
        ([("moon_phase", f"{MODULE}:NeedsArguments")], "does not load: TypeError"),
        ([("moon_phase", "builtins:object")], "calls itself None"),
        ([("moon_phase", f"{MODULE}:MoonPhase"), ("moon_phase", f"{MODULE}:Exploding")], "declared more than once"),
    ],
)
def test_a_kind_that_cannot_be_used_answers_error_and_says_why(points: list[tuple[str, str]], why: str) -> None:
    kind = kind_named(gate_kinds([point(*one) for one in points]), "moon_phase")
    verdict = judge(kind, gather(kind, GATE, CONTEXT))
    assert verdict.verdict == "error"
    assert why in verdict.reasons[0]
    assert judge(kind, GateInputs(name="lunar", kind="moon_phase")).verdict == "error"


def test_the_same_declaration_twice_is_one() -> None:
    twice = [point("moon_phase", f"{MODULE}:MoonPhase")] * 2
    assert isinstance(gate_kinds(twice)["moon_phase"], BrokenGate) is False


@pytest.mark.parametrize("kind", [Exploding(), Untyped()])
def test_a_gate_that_raises_or_answers_nonsense_never_allows(kind: MoonPhase) -> None:
    assert judge(kind, gather(kind, GATE, CONTEXT)).verdict == "error"
    assert judge(kind, GateInputs(name="lunar", kind="moon_phase", facts={"limit": 1})).verdict == "error"


def test_a_failed_gathering_is_stored_without_what_varies() -> None:
    first, second = (gather(Exploding(), GATE, CONTEXT) for _ in range(2))
    assert first == second
    assert first.failure is not None
    assert first.failure["what"] == "ZeroDivisionError: moon"


def test_facts_of_a_wrong_form_are_an_error_for_every_built_in() -> None:
    for name, kind in gate_kinds().items():
        assert judge(kind, GateInputs(name="x", kind=name, facts={"unexpected": True})).verdict == "error"
        assert judge(kind, GateInputs(name="x", kind=name)).verdict == "error"


def test_somebody_elses_checkout_declares_nothing_here(tmp_path: Path) -> None:
    other = tmp_path / "pyproject.toml"
    other.write_text('[project]\nname = "other"\n[project.entry-points."stella.gates"]\nx = "y:Z"\n', encoding="utf-8")
    assert _declared_by_checkout(other) == ()
    assert _declared_by_checkout(tmp_path / "missing.toml") == ()
