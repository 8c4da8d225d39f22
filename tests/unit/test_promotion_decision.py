"""How verdicts become an outcome, and that a decision record is the same bytes each time."""

from __future__ import annotations

import itertools

import pytest

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.promotions.decision import (
    RULES,
    DecisionContext,
    DecisionRecord,
    GateReference,
    JudgedGate,
    Outcome,
    combine,
    decision_predicate,
    decision_record,
    retry_after_s,
)
from stella_pipelines.promotions.gates.port import GateInputs, GateVerdict, NamedDigest, allow, deny, error, wait
from tests.support.promotions import NOW, RITA, digest

VERDICTS = {
    "allow": allow("yes"),
    "deny": deny("no", would_change=("x",)),
    "wait": wait("later", until=NOW, would_change=()),
    "error": error("?", would_change=()),
}


@pytest.mark.parametrize("names", [names for size in (1, 2, 3) for names in itertools.product(VERDICTS, repeat=size)])
def test_deny_beats_error_beats_wait_beats_allow(names: tuple[str, ...]) -> None:
    expected = next(name for name in ("deny", "error", "wait", "allow") if name in names)
    assert combine([(name, VERDICTS[name]) for name in names], ungated=False).verdict == expected


def test_no_gates_allow_only_where_the_environment_says_none() -> None:
    assert combine([], ungated=True).verdict == "allow"
    assert combine([], ungated=False).verdict == "error"
    assert combine([("a", allow("yes"))], ungated=True).verdict == "error"


def test_waiting_ends_at_the_earliest_time() -> None:
    later = wait("later", until=NOW.replace(hour=20), would_change=())
    event = wait("somebody", until=None, would_change=())
    assert combine([("a", later), ("b", VERDICTS["wait"]), ("c", event)], ungated=False).until == NOW
    assert combine([("c", event)], ungated=False) == Outcome(verdict="wait", until=None, reasons=("c: somebody",))


def test_retries_back_off_and_are_bounded() -> None:
    assert [retry_after_s(count) for count in range(9)] == [5, 10, 20, 40, 80, 160, 320, 640, 900]
    assert retry_after_s(10**9) == 900


def context(*gates: GateReference) -> DecisionContext:
    return DecisionContext(
        rules=RULES,
        promotion_id="prm_1",
        evaluation_id="evl_1",
        attempt=1,
        environment="prod",
        ungated=not gates,
        release=NamedDigest(name="shop-2.0.0", digest=digest("release")),
        plan_digest=digest("plan"),
        estate_digest=digest("estate"),
        requested_by=RITA,
        reason="new prices",
        requested_at=NOW,
        begun_at=NOW,
        decided_at=NOW,
        gates=gates,
    )


def judged(name: str, verdict: GateVerdict) -> JudgedGate:
    report = NamedDigest(name="report/rpt_1", digest=digest("report"))
    inputs = GateInputs(name=name, kind="policy", facts={"limit_s": 30.0}, policies=(NamedDigest(name="four_eyes", digest=digest("cel")),), materials=(report,))
    return JudgedGate(reference=GateReference(name=name, kind="policy", inputs=inputs.content_digest()), inputs=inputs, verdict=verdict)


def test_a_record_names_everything_once() -> None:
    gates = [judged("one", allow("yes", approvers=("bob", "ann"))), judged("two", allow("yes", approvers=("ann",)))]
    facts = context(*(gate.reference for gate in gates))
    record = decision_record(facts, gates)
    assert isinstance(record, DecisionRecord)
    assert record.approvers == ("ann", "bob")
    assert [policy.name for policy in record.policies] == ["four_eyes"]
    predicate = decision_predicate(facts, record, gates)
    assert [one["name"] for one in predicate["inputs"]] == ["context", "plan", "estate", "gate/one", "gate/two", "report/rpt_1"]
    assert set(predicate["times"]) == {"requested_at", "begun_at", "decided_at"}


def test_the_same_inputs_give_the_same_bytes() -> None:
    gates = [judged("one", VERDICTS["deny"])]
    facts = context(gates[0].reference)
    again = DecisionContext.model_validate_json(facts.canonical())
    first, second = decision_record(facts, gates), decision_record(again, [JudgedGate.model_validate_json(gates[0].canonical())])
    assert isinstance(first, DecisionRecord)
    assert isinstance(second, DecisionRecord)
    assert canonical_json(decision_predicate(facts, first, gates)) == canonical_json(decision_predicate(again, second, gates))


@pytest.mark.parametrize("name", ["wait", "error"])
def test_what_is_not_decided_has_no_record(name: str) -> None:
    gate = judged("one", VERDICTS[name])
    assert isinstance(decision_record(context(gate.reference), [gate]), Outcome)
