"""The same rules over the same facts decide the same, whatever the gates and the facts are; and nothing is allowed that a gate did not allow."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stella_pipelines.environments.model import Estate
from stella_pipelines.promotions.gates.registry import gate_kinds
from stella_pipelines.promotions.reconfigured import NewRules, Reconfigured, reconfigured
from stella_pipelines.promotions.recorded_decision import RecordedDecision
from stella_pipelines.promotions.what_if import what_if
from tests.support.promotions import ANN, BOB, CYN, NOW
from tests.support.recorded_decisions import Told, decided, healthy, word

NAMES = ("one", "two", "three")
PEOPLE = (ANN, BOB, CYN)
POLICIES = [{"name": "yes", "cel": "true"}, {"name": "no", "cel": "false"}]
SECONDS, AGES = st.sampled_from((0.0, 30.0, 30.5, 7200.0)), st.sampled_from((30.5, 3600.0, 200_000.0))

members = st.sampled_from((("ann",), ("bob", "cyn"), ("ann", "bob", "cyn")))
group = st.builds(lambda name, who: {"name": name, "required": 1, "members": who}, st.sampled_from(("ops", "board")), members)
groups = st.tuples(group) | st.tuples(group, group)
configs: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"kind": "freeze_window"}),
    st.builds(lambda found, s: {"kind": "approval", "groups": found, "expires_after_s": s}, groups, AGES),
    st.builds(lambda s: {"kind": "previous_environment", "soak_s": s}, SECONDS),
    st.builds(lambda most, age: {"kind": "security", "max_critical": most, "report_max_age_s": age}, st.integers(0, 2), st.none() | AGES),
)
with_policies = configs | st.builds(lambda name: {"kind": "policy", "policy": name}, st.sampled_from(("yes", "no", "undeclared")))
windows = st.lists(st.sampled_from((-5, -1, 3)), max_size=2, unique=True)
"""Hours from now at which windows of two hours begin."""


@st.composite
def estates(draw: st.DrawFn, kinds: st.SearchStrategy[dict[str, Any]] = configs) -> Estate:
    gates = [{"name": name, "config": draw(kinds)} for name in NAMES[: draw(st.integers(0, 3))]]
    prod = {"name": "prod", "gates": gates or "none", "promotes_from": draw(st.sampled_from(((), ("dev",), ("dev", "qa"))))}
    hour = {hours: NOW.replace(hour=12 + hours) for hours in (-5, -3, -1, 1, 3, 5)}
    frozen = [{"name": f"w{hours + 5}", "reason": "r", "starts_at": hour[hours], "ends_at": hour[hours + 2]} for hours in draw(windows)]
    return Estate.model_validate({"environments": [prod], "policies": POLICIES, "freeze_windows": frozen})


@st.composite
def facts(draw: st.DrawFn) -> Told:
    seats = tuple(f"{name}/{group}" for name in NAMES for group in ("ops", "board"))
    speakers = draw(st.permutations(PEOPLE))[: draw(st.integers(0, 3))]
    said = [word(who, *seats, verdict=draw(st.sampled_from(("approve", "approve", "reject")))) for who in speakers]
    proven = {name: healthy(3600.0) for name in draw(st.sets(st.sampled_from(("dev", "qa"))))}
    reports = draw(st.sets(st.sampled_from(("trivy-web-clean.json", "trivy-web-critical.json", "grype-web-high.json", "trivy-web-malformed.json"))))
    return Told(approvals_given=tuple(said), proven=proven, report_files=tuple(sorted(reports)))


def decision_of(estate: Estate, told: Told) -> RecordedDecision:
    """The decision; an example whose gates came to none is left out."""
    decision = decided(estate, told, gate_kinds())
    assume(decision is not None)
    assert decision is not None
    return decision


def require_same(estate: Estate, told: Told) -> None:
    decision = decision_of(estate, told)
    answer = what_if(decision, estate)
    assert (answer.answer, answer.after, answer.reasons, answer.gone) == ("stays", decision.record.outcome, (), ())
    (environment,) = estate.environments
    for gate in () if environment.gates == "none" else environment.gates:
        again = reconfigured(gate, decision.gates[gate.name], NewRules(estate, environment), gate)
        if decision.gates[gate.name].failure is None:
            assert isinstance(again, Reconfigured)
            assert (again.inputs.canonical(), again.unasked) == (decision.gates[gate.name].canonical(), None)


@given(estates(), facts())
@settings(max_examples=150, deadline=None)
def test_the_recorded_configuration_changes_nothing(estate: Estate, told: Told) -> None:
    require_same(estate, told)


@given(estates(with_policies), facts())
@settings(max_examples=15, deadline=None)
def test_the_recorded_policies_change_nothing(estate: Estate, told: Told) -> None:
    """Fewer of them, because each evaluation of a policy is a process."""
    require_same(estate, told)


@given(estates(), facts(), estates())
@settings(max_examples=150, deadline=None)
def test_nothing_passes_that_was_not_judged(then: Estate, told: Told, now: Estate) -> None:
    answer = what_if(decision_of(then, told), now)
    if answer.after == "allow":
        assert {gate.after for gate in answer.gates} <= {"allow"}
    if answer.answer == "cannot_be_judged":
        assert None in {gate.after for gate in answer.gates}
    assert (answer.answer == "stays") is (answer.after == answer.before)
