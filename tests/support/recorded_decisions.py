"""Recorded decisions without a database: gathered, judged and put together by the same rules as real ones, from facts that a test tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Estate
from stella_pipelines.promotions.approvals import Approval, eligible_at_request
from stella_pipelines.promotions.decision import RULES, DecisionContext, DecisionRecord, GateReference, JudgedGate, decision_predicate, decision_record
from stella_pipelines.promotions.gates.judging import gather, judge
from stella_pipelines.promotions.gates.port import GateContext, GateKind, GivenReport, NamedDigest, kind_of
from stella_pipelines.promotions.gates.registry import gate_kinds, kind_named
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.promotions.recorded_decision import RecordedDecision
from tests.support.promotions import NOW, PLAN, RITA, digest, promotion, shop

REPORTS = Path(__file__).parents[1] / "data" / "reports"
PLAN_DIGEST = digest("the plan")


@dataclass
class Told:
    """What was known when it was decided."""

    approvals_given: tuple[Approval, ...] = ()
    proven: Mapping[str, ProvenDeployment] = field(default_factory=dict)
    report_files: tuple[str, ...] = ()

    def approvals(self) -> tuple[Approval, ...]:
        return self.approvals_given

    def last_proven(self, environment: str) -> ProvenDeployment | None:
        return self.proven.get(environment)

    def reports(self) -> tuple[GivenReport, ...]:
        return tuple(_report(number, name) for number, name in enumerate(self.report_files))


def healthy(for_s: float = 3600.0) -> ProvenDeployment:
    """A deployment that was seen healthy just now, and for so long."""
    since = NOW - timedelta(seconds=for_s)
    return ProvenDeployment(deployment_id="dep_1", release_digest=digest("x"), deployed_at=since, healthy=True, observed_at=NOW, healthy_since=since)


def word(actor: Actor, *groups: str, verdict: str = "approve", given_s_ago: float = 60.0) -> Approval:
    """Somebody's word on the plan."""
    at = NOW - timedelta(seconds=given_s_ago)
    about = {"id": f"apr_{actor.name}", "promotion_id": "prm_1", "actor": actor, "verdict": verdict, "plan_digest": PLAN_DIGEST, "groups": groups}
    return Approval.model_validate({**about, "at": at, "expires_at": at + timedelta(days=1), "reason": ""})


def recorded(estate: Estate, told: Told | None = None, *, kinds: Mapping[str, GateKind] | None = None) -> RecordedDecision:
    """The decision of `prod` under this estate; fails when the gates did not decide."""
    decision = decided(estate, told or Told(), gate_kinds() if kinds is None else kinds)
    assert decision is not None, "the gates came to no decision"
    return decision


def decided(estate: Estate, told: Told, kinds: Mapping[str, GateKind]) -> RecordedDecision | None:
    """The same, or None when the gates did not decide: what waits is not sealed."""
    environment = estate.environment("prod")
    if environment is None:
        raise ValueError("the estate needs an environment prod")
    asked = promotion(requested_by=RITA, eligible=eligible_at_request(environment), plan_digest=PLAN_DIGEST)
    context = GateContext(shop(author="zed"), environment, estate, asked, PLAN, PLAN_DIGEST, NOW, told)
    judged = []
    for gate in () if environment.gates == "none" else environment.gates:
        inputs = gather(kind_named(kinds, kind_of(gate)), gate, context)
        reference = GateReference(name=gate.name, kind=inputs.kind, inputs=inputs.content_digest())
        judged.append(JudgedGate(reference=reference, inputs=inputs, verdict=judge(kind_named(kinds, inputs.kind), inputs)))
    return _sealed(_context(estate, environment.gates == "none", judged), judged)


def _sealed(context: DecisionContext, judged: list[JudgedGate]) -> RecordedDecision | None:
    record = decision_record(context, judged)
    if not isinstance(record, DecisionRecord):
        return None
    claim = decision_predicate(context, record, judged)
    return RecordedDecision(claim=claim, record=record, context=context, gates={gate.reference.name: gate.inputs for gate in judged})


def _context(estate: Estate, ungated: bool, judged: list[JudgedGate]) -> DecisionContext:
    return DecisionContext(
        rules=RULES,
        promotion_id="prm_1",
        evaluation_id="evl_1",
        attempt=1,
        environment="prod",
        ungated=ungated,
        release=NamedDigest(name="shop-2.0.0", digest=digest("release 2.0.0")),
        plan_digest=PLAN_DIGEST,
        estate_digest=estate.content_digest(),
        requested_by=RITA,
        reason="new prices",
        requested_at=NOW,
        begun_at=NOW,
        decided_at=NOW,
        gates=tuple(gate.reference for gate in judged),
    )


def _report(number: int, name: str) -> GivenReport:
    content = (REPORTS / name).read_bytes()
    return GivenReport(id=f"rpt_{number}", kind=name.split("-", maxsplit=1)[0], blob=Digest.of(content), given_at=NOW, content=content)
