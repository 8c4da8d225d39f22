"""The life of promotions on a real store, on both databases: from the request over gates, people and time to the sealed decision."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from stella_pipelines.core import limits
from stella_pipelines.core.actor import SYSTEM
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import PROMOTION_TTL_S
from stella_pipelines.environments.model import Environment, Estate
from stella_pipelines.evidence.errors import ClockWentBack
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.promotions import errors, records
from stella_pipelines.promotions.evaluation import EVALUATION_AGE_S_MAX
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.releases.model import ReleaseState
from stella_pipelines.store import blobs, outbox
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import Conflict
from tests.support.promotions import ANN, BOB, CYN, NOW, PLAN, RITA, ZED, Given, Room, digest, environment, make_room, promotion, shop

REPORTS = Path(__file__).parents[1] / "data" / "reports"
OTHER_PLAN = {**PLAN, "strategy": {"kind": "rolling"}}
MakeRoom = Callable[..., Room]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> FileKey:
    return FileKey.load_or_create(tmp_path_factory.mktemp("keys") / "evidence.pem")


@pytest.fixture
def room_of(store: Store, key: FileKey) -> MakeRoom:
    return lambda *environments, **estate: make_room(store, key, *environments, **estate)


def signed_off(required: int = 2, **config: object) -> Environment:
    group = {"name": "release", "required": required, "members": ["ann", "bob", "cyn", "rita"]}
    return environment(gates=[{"name": "sign_off", "config": {"kind": "approval", "groups": [group], **config}}])


def gated(kind: str, **config: object) -> Environment:
    return environment(gates=[{"name": "the_gate", "config": {"kind": kind, **config}}], promotes_from=["staging"])


# ---------------------------------------------------------------- requesting


def test_without_gates_it_is_allowed_because_the_environment_says_so(room_of: MakeRoom) -> None:
    room = room_of(environment())
    asked = room.request()
    decided = room.evaluate(asked)
    assert (decided.state, decided.attempt) == (PromotionState.APPROVED, 1)
    assert room.wanted_runs() == [("promotion", 1), ("deployment", 1)]
    assert room.audited(asked.id) == [("rita", "promotion.Request"), ("stella", "promotion.EvaluationAllows")]
    with room.store.reading() as tx:
        row = outbox.latest(tx, "deployment", asked.id)
    assert row is not None
    assert (row.payload["environment"], row.payload["release_digest"]) == ("prod", digest("release 2.0.0"))


def test_a_second_request_into_the_environment_names_the_first(room_of: MakeRoom) -> None:
    room = room_of(environment(), environment("staging"))
    first = room.request()
    with pytest.raises(errors.PromotionInProgress, match=first.id):
        room.request(ANN)
    assert room.request(ANN, "staging").environment == "staging"
    room.promotions.cancel(RITA, first.id, "changed my mind")
    assert room.request(ANN).state is PromotionState.EVALUATING


def test_the_database_itself_refuses_a_second_live_promotion(room_of: MakeRoom) -> None:
    room = room_of(environment())
    room.request()
    with pytest.raises(Conflict), room.store.writing() as tx:
        records.add_promotion(tx, promotion(id="prm_2"))


def test_of_many_requests_at_the_same_moment_one_wins(room_of: MakeRoom) -> None:
    room = room_of(environment())

    def attempt(_: int) -> str:
        try:
            return room.request().id
        except errors.PromotionInProgress as refusal:
            return refusal.code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(attempt, range(6)))
    assert answers.count("PROM_IN_PROGRESS") == 5
    live = room.promotions.live("prod")
    assert live is not None
    assert live.id in answers


@pytest.mark.parametrize("state", [ReleaseState.DRAFT, ReleaseState.ARCHIVED])
def test_only_a_finalized_release_is_promoted(room_of: MakeRoom, state: ReleaseState) -> None:
    room = room_of(environment())
    room.releases.record = shop(state=state)
    with pytest.raises(errors.ReleaseNotPromotable):
        room.request()
    assert room.promotions.list() == []


def test_an_unknown_environment_is_refused(room_of: MakeRoom) -> None:
    with pytest.raises(errors.EnvironmentUnknown, match="moon"):
        room_of(environment()).request(environment="moon")


def test_what_is_not_there_is_said(room_of: MakeRoom) -> None:
    room = room_of(environment())
    asked = room.request()
    with pytest.raises(errors.PromotionMissing):
        room.promotions.get("prm_none")
    with pytest.raises(errors.EvaluationMissing):
        room.promotions.decide("evl_none")
    with pytest.raises(errors.EvaluationMissing, match="no attempt 2"):
        room.promotions.begin_evaluation(asked.id, 2, PLAN)
    with pytest.raises(errors.EvaluationMissing, match="no gate 'x'"):
        room.promotions.evaluate_gate(room.promotions.begin_evaluation(asked.id, 1, PLAN).id, "x")


# ---------------------------------------------------------------- approvals


def test_two_of_three_approve_and_each_approval_asks_the_gates_again(room_of: MakeRoom) -> None:
    room = room_of(signed_off())
    waiting = room.evaluate(room.request())
    assert (waiting.state, waiting.waiting_until, waiting.decision_packet) == (PromotionState.WAITING, None, None)
    approval = room.promotions.approve(ANN, waiting.id, reason="looks good")
    assert (approval.groups, approval.plan_digest) == (("sign_off/release",), waiting.plan_digest)
    assert room.evaluate(waiting).state is PromotionState.WAITING
    room.promotions.approve(BOB, waiting.id, reason="same here", plan_digest=waiting.plan_digest)
    decided = room.evaluate(waiting)
    assert (decided.state, decided.attempt) == (PromotionState.APPROVED, 3)
    assert room.wanted_runs() == [("promotion", 1), ("promotion", 2), ("promotion", 3), ("deployment", 1)]
    record = verify_packet(room.packet(decided).envelope, [room.evidence.public_pem]).statement.claim()["decision"]
    assert (record["outcome"], record["approvers"], record["requested_by"]["name"]) == ("allow", ["ann", "bob"], "rita")


def test_the_requester_cannot_approve_and_the_attempt_is_audited(room_of: MakeRoom) -> None:
    room = room_of(signed_off())
    waiting = room.evaluate(room.request())
    for actor in (RITA, RITA.model_copy(update={"name": "RITA"})):
        with pytest.raises(errors.SelfApproval) as refused:
            room.promotions.approve(actor, waiting.id, reason="trust me")
        assert refused.value.code == "PROM_SELF_APPROVAL"
    assert room.promotions.get(waiting.id) == waiting
    assert room.audited(waiting.id)[-2:] == [("rita", "promotion.approve.refused"), ("RITA", "promotion.approve.refused")]


def test_an_alias_of_the_requester_cannot_approve_either(room_of: MakeRoom) -> None:
    group = {"name": "release", "members": ["rita@corp.example", "bob"]}
    room = room_of(environment(gates=[{"name": "sign_off", "config": {"kind": "approval", "groups": [group]}}]))
    waiting = room.evaluate(room.request())
    assert "(bob)" in room.promotions.results(waiting.id)[0].verdict.would_change[0]
    with pytest.raises(errors.SelfApproval, match="rita requested promotion"):
        room.promotions.approve(RITA.model_copy(update={"name": "rita@corp.example"}), waiting.id, reason="trust me")
    room.promotions.approve(BOB, waiting.id, reason="reviewed")
    assert room.evaluate(waiting).state is PromotionState.APPROVED


def test_a_rejection_counts_although_the_clock_was_set_back_before_it(room_of: MakeRoom) -> None:
    room = room_of(signed_off(2))
    waiting = room.evaluate(room.request())
    room.promotions.approve(ANN, waiting.id, reason="looks good")
    room.evaluate(waiting)
    room.clock.forward(-3600)
    room.promotions.approve(ANN, waiting.id, verdict="reject", reason="no, it does not")
    assert [one.verdict for one in room.promotions.approvals(waiting.id)] == ["approve", "reject"]
    verdict = room.promotions.evaluate_gate(room.promotions.begin_evaluation(waiting.id, 3, PLAN).id, "sign_off").verdict
    assert (verdict.verdict, "no, it does not" in verdict.reasons[0]) == ("deny", True)


def test_the_commit_author_cannot_approve_where_the_gate_says_so(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1, commit_author_excluded=True))
    room.releases.record = shop(author="Ann Author <ann@example.com>")
    waiting = room.evaluate(room.request())
    with pytest.raises(errors.SelfApproval, match="wrote the commit"):
        room.promotions.approve(ANN, waiting.id, reason="it is mine")
    room.promotions.approve(BOB, waiting.id, reason="reviewed")
    assert room.evaluate(waiting).state is PromotionState.APPROVED


def test_eligibility_is_recorded_at_the_request_and_checked_at_the_click(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1))
    waiting = room.evaluate(room.request())
    members = {"name": "release", "required": 1, "members": ["bob", "zed"]}  # zed joins, ann leaves
    changed = environment(gates=[{"name": "sign_off", "config": {"kind": "approval", "groups": [members]}}])
    room.estate.estate = Estate(environments=(changed,))
    for actor in (ANN, ZED, SYSTEM):
        with pytest.raises(errors.NotEligible):
            room.promotions.approve(actor, waiting.id, reason="me too")
    room.promotions.approve(BOB, waiting.id, reason="I was and I am")
    assert room.evaluate(waiting).state is PromotionState.APPROVED


def test_an_approval_is_for_one_plan(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1))
    asked = room.request()
    with pytest.raises(errors.PlanUnknown):
        room.promotions.approve(ANN, asked.id, reason="whatever it is")
    waiting = room.evaluate(asked)
    with pytest.raises(errors.PlanDiffers):
        room.promotions.approve(ANN, waiting.id, reason="that one", plan_digest=digest("another plan"))
    room.promotions.approve(ANN, waiting.id, reason="this one")
    again = room.evaluate(waiting, OTHER_PLAN)
    assert again.state is PromotionState.WAITING
    assert "ann's approval does not count: it is for plan" in " ".join(room.promotions.results(again.id)[0].verdict.reasons)


def test_approvals_expire(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1, expires_after_s=60))
    waiting = room.evaluate(room.request())
    room.promotions.approve(ANN, waiting.id, reason="now")
    room.clock.forward(60)
    assert room.evaluate(waiting).state is PromotionState.WAITING


def test_gates_that_changed_since_the_request_are_in_force_and_it_is_said(room_of: MakeRoom) -> None:
    room = room_of(signed_off(2))
    room.estate.revision = 3
    waiting = room.evaluate(room.request())
    assert room.promotions.explain(waiting.id).notes == ()
    room.promotions.approve(ANN, waiting.id, reason="looks good")
    room.estate.estate = Estate(environments=(signed_off(1),))
    room.estate.revision = 5
    decided = room.evaluate(waiting)
    note = "Gates changed since the request: estate revision 3 → 5."
    assert (decided.state, room.promotions.explain(waiting.id).notes) == (PromotionState.APPROVED, (note,))
    assert room.promotions.explain(waiting.id).summary.endswith(note)
    record = verify_packet(room.packet(decided).envelope, [room.evidence.public_pem]).statement.claim()["decision"]
    assert record["notes"] == [note]


def test_an_estate_that_changed_elsewhere_is_not_said(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1))
    asked = room.request()
    room.estate.estate = Estate(environments=(signed_off(1), environment("elsewhere")))
    room.estate.revision = 2
    assert room.promotions.explain(room.evaluate(asked).id).notes == ()


def test_a_rejection_ends_it_and_is_evidence(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1))
    waiting = room.evaluate(room.request())
    room.promotions.approve(CYN, waiting.id, verdict="reject", reason="not during the sale")
    decided = room.evaluate(waiting)
    assert decided.state is PromotionState.REJECTED
    record = verify_packet(room.packet(decided).envelope, [room.evidence.public_pem]).statement.claim()["decision"]
    assert record["outcome"] == "deny"
    assert "not during the sale" in record["gates"][0]["reasons"][0]
    with pytest.raises(errors.AlreadyDecided):
        room.promotions.approve(ANN, waiting.id, reason="too late")
    assert [kind for kind, _ in room.wanted_runs()].count("deployment") == 0


# ---------------------------------------------------------------- gates, time and errors


def test_a_freeze_waits_for_the_next_open_slot(room_of: MakeRoom) -> None:
    window = {"name": "sale", "reason": "black friday", "starts_at": NOW, "ends_at": NOW + timedelta(hours=2)}
    room = room_of(gated("freeze_window"), freeze_windows=[window])
    waiting = room.evaluate(room.request())
    assert waiting.waiting_until == NOW + timedelta(hours=2)
    room.clock.forward(7199)
    assert not room.promotions.reevaluate_if_due(waiting.id)
    assert room.promotions.due_for_reevaluation() == []
    room.clock.forward(1)
    assert room.promotions.due_for_reevaluation() == [waiting.id]
    assert [room.promotions.reevaluate_if_due(waiting.id) for _ in range(2)] == [True, False], "two who look at the clock ask once"
    again = room.promotions.get(waiting.id)
    assert (again.state, again.attempt) == (PromotionState.EVALUATING, 2)
    assert room.evaluate(again).state is PromotionState.APPROVED
    assert room.promotions.reevaluate(waiting.id).state is PromotionState.APPROVED


def test_the_previous_environment_is_asked_by_release(room_of: MakeRoom) -> None:
    room = room_of(gated("previous_environment", soak_s=60), environment("staging"))
    room.history.proven["staging"] = ProvenDeployment(
        deployment_id="dep_1", release_digest=digest("release 2.0.0"), deployed_at=NOW, healthy=True, observed_at=NOW, healthy_since=NOW
    )
    waiting = room.evaluate(room.request())
    assert waiting.waiting_until == NOW + timedelta(seconds=60)
    room.history.proven.clear()
    room.promotions.reevaluate(waiting.id)
    assert room.evaluate(waiting).state is PromotionState.REJECTED


def give(room: Room, name: str) -> None:
    content = (REPORTS / name).read_bytes()
    with room.store.writing() as tx:
        blob = blobs.put(tx, content, "application/json", room.clock.now())
    kind = "cyclonedx_vex" if name.startswith("vex") else name.split("-", maxsplit=1)[0]
    room.releases.given.append(Given(id=f"rpt_{len(room.releases.given)}", kind=kind, blob=blob, given_at=room.clock.now()))
    room.clock.forward(1)


def test_denied_by_security_then_allowed_after_a_vex_statement(room_of: MakeRoom) -> None:
    room = room_of(gated("security"))
    give(room, "trivy-web-critical.json")
    denied = room.evaluate(room.request())
    assert denied.state is PromotionState.REJECTED
    explanation = room.promotions.explain(denied.id)
    assert explanation.summary == "shop-2.0.0 → prod was rejected by the_gate. Nothing was deployed."
    assert "VEX" in explanation.would_change[0]
    give(room, "vex-web-not-affected.json")
    allowed = room.evaluate(room.request())
    assert allowed.state is PromotionState.APPROVED
    inputs = verify_packet(room.packet(allowed).envelope, [room.evidence.public_pem]).statement.inputs
    assert [one.name for one in inputs] == ["context", "plan", "estate", "gate/the_gate", "report/rpt_0", "report/rpt_1"]


def test_errors_wait_and_are_asked_again_later_and_later(room_of: MakeRoom) -> None:
    room = room_of(gated("policy", policy="broken"), policies=[{"name": "broken", "cel": "release.("}])
    waiting = room.evaluate(room.request())
    pauses = []
    for _ in range(4):
        assert waiting.state is PromotionState.WAITING
        assert waiting.waiting_until is not None
        pauses.append((waiting.waiting_until - room.clock.now()).total_seconds())
        room.clock.moment = waiting.waiting_until
        room.promotions.reevaluate(waiting.id)
        waiting = room.evaluate(waiting)
    assert pauses == [5, 10, 20, 40]
    room.estate.estate = room.estate.estate.model_copy(update={"policies": ()})
    room.promotions.reevaluate(waiting.id)
    assert "declares no policy 'broken'" in room.promotions.results(room.evaluate(waiting).id)[0].verdict.reasons[0]


def test_without_a_plan_nothing_is_decided(room_of: MakeRoom) -> None:
    room = room_of(environment())
    failure = {"code": "DEPLOY_PLAN_INCOMPLETE", "what": "host_1 does not answer.", "next_step": "Start host_1."}
    waiting = room.evaluate(room.request(), None, failure)
    assert (waiting.state, waiting.failure) == (PromotionState.WAITING, failure)
    assert waiting.waiting_until == NOW + timedelta(seconds=5)
    explanation = room.promotions.explain(waiting.id)
    assert "host_1 does not answer." in explanation.summary
    assert explanation.would_change == ("host_1 does not answer. Start host_1. It is evaluated again by itself at 2026-03-02T12:00:05Z.",)
    room.promotions.reevaluate(waiting.id)
    silent = room.evaluate(waiting, None)
    assert silent.failure is not None
    assert silent.failure["code"] == "PROM_PLAN_UNKNOWN"


def test_a_decision_that_no_packet_can_hold_waits_and_says_so(room_of: MakeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    room = room_of(environment())
    with monkeypatch.context() as small:
        small.setattr(limits, "PACKET_BYTES_MAX", 500)
        waiting = room.evaluate(room.request())
    assert (waiting.state, waiting.decision_packet) == (PromotionState.WAITING, None)
    assert waiting.waiting_until == NOW + timedelta(seconds=5)
    assert "because its decision cannot be sealed (The decision is too large" in room.promotions.explain(waiting.id).summary
    room.promotions.reevaluate(waiting.id)
    assert room.evaluate(waiting).state is PromotionState.APPROVED


def test_an_environment_that_left_the_estate_allows_nothing(room_of: MakeRoom) -> None:
    room = room_of(environment())
    asked = room.request()
    room.estate.estate = Estate()
    waiting = room.evaluate(asked)
    assert waiting.state is PromotionState.WAITING
    assert waiting.failure is not None
    assert waiting.failure["code"] == "PROM_ENVIRONMENT_UNKNOWN"


# ---------------------------------------------------------------- killed, late and twice


def test_a_killed_run_resumes_from_stored_answers(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1))
    asked = room.request()
    begun = room.promotions.begin_evaluation(asked.id, 1, PLAN)
    first = room.promotions.evaluate_gate(begun.id, "sign_off")
    room.clock.forward(30)
    assert room.promotions.begin_evaluation(asked.id, 1, OTHER_PLAN) == begun
    assert room.promotions.evaluate_gate(begun.id, "sign_off") == first
    waiting, _ = room.promotions.decide(begun.id)
    assert room.promotions.decide(begun.id) == (waiting, None)


def test_deciding_twice_seals_once(room_of: MakeRoom) -> None:
    room = room_of(environment())
    asked = room.request()
    evaluation = room.promotions.begin_evaluation(asked.id, 1, PLAN)
    once, again = room.promotions.decide(evaluation.id), room.promotions.decide(evaluation.id)
    assert once == again
    with room.store.reading() as tx:
        assert len(room.evidence.list(tx, kind="decision")) == 1


def test_every_gate_must_have_answered(room_of: MakeRoom) -> None:
    room = room_of(signed_off())
    evaluation = room.promotions.begin_evaluation(room.request().id, 1, PLAN)
    with pytest.raises(errors.EvaluationIncomplete, match="sign_off"):
        room.promotions.decide(evaluation.id)


def test_an_old_attempt_decides_nothing(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1))
    waiting = room.evaluate(room.request())
    room.promotions.approve(ANN, waiting.id, reason="one")
    late = room.promotions.begin_evaluation(waiting.id, 2, PLAN)
    room.promotions.evaluate_gate(late.id, "sign_off")
    current = room.promotions.approve(BOB, waiting.id, reason="two") and room.promotions.get(waiting.id)
    assert room.promotions.decide(late.id) == (current, None)
    assert room.evaluate(waiting).state is PromotionState.APPROVED
    assert room.promotions.begin_evaluation(waiting.id, 1, PLAN).outcome == "wait"


def test_an_attempt_that_never_began_before_the_end_has_no_gates(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1))
    asked = room.request()
    cancelled = room.promotions.cancel(RITA, asked.id, "no")
    evaluation = room.promotions.begin_evaluation(asked.id, 1, PLAN)
    assert (evaluation.gates, evaluation.outcome) == ((), "superseded")
    assert room.promotions.decide(evaluation.id) == (cancelled, None)
    assert room.promotions.results(asked.id) == []


@pytest.mark.parametrize("what", ["time", "estate"])
def test_stale_answers_are_not_trusted(room_of: MakeRoom, what: str) -> None:
    room = room_of(gated("freeze_window"))
    asked = room.request()
    evaluation = room.promotions.begin_evaluation(asked.id, 1, PLAN)
    room.promotions.evaluate_gate(evaluation.id, "the_gate")
    if what == "time":
        room.clock.forward(EVALUATION_AGE_S_MAX + 1)
    else:
        room.estate.estate = room.estate.estate.model_copy(update={"environments": (gated("freeze_window"), environment("staging"))})
    again, packet = room.promotions.decide(evaluation.id)
    assert (again.state, again.attempt, packet) == (PromotionState.EVALUATING, 2, None)
    assert room.wanted_runs() == [("promotion", 1), ("promotion", 2)]
    assert room.evaluate(again).state is PromotionState.APPROVED


def test_a_clock_that_went_back_stops_decisions_and_changes_nothing(room_of: MakeRoom) -> None:
    room = room_of(environment())
    done = room.evaluate(room.request())
    room.promotions.cancel(RITA, done.id, "make room")
    asked = room.request()
    evaluation = room.promotions.begin_evaluation(asked.id, 1, PLAN)
    room.clock.forward(-3600)
    with pytest.raises(ClockWentBack):
        room.promotions.decide(evaluation.id)
    assert room.promotions.get(asked.id) == asked
    room.clock.forward(3600)
    assert room.promotions.decide(evaluation.id)[0].state is PromotionState.APPROVED


def test_what_waits_too_long_expires(room_of: MakeRoom) -> None:
    room = room_of(signed_off())
    waiting = room.evaluate(room.request())
    room.clock.forward(PROMOTION_TTL_S - 1)
    assert room.promotions.expire_due() == []
    room.clock.forward(1)
    assert room.promotions.expire_due() == [waiting.id]
    assert room.promotions.get(waiting.id).state is PromotionState.EXPIRED
    assert room.promotions.live("prod") is None


# ---------------------------------------------------------------- the deployment's word


def approved(room: Room) -> Promotion:
    return room.evaluate(room.request())


def test_a_deployment_starts_once_resumes_and_ends(room_of: MakeRoom) -> None:
    room = room_of(environment())
    begun = approved(room)
    with room.store.writing() as tx:
        started = room.promotions.deployment_started(tx, begun.id, "dep_1")
        assert room.promotions.deployment_started(tx, begun.id, "dep_1") == started
    with pytest.raises(errors.IllegalCommand, match="dep_1 belongs"), room.store.writing() as tx:
        room.promotions.deployment_started(tx, begun.id, "dep_2")
    with pytest.raises(errors.IllegalCommand):
        room.promotions.cancel(RITA, begun.id, "stop it")
    with room.store.writing() as tx:
        room.promotions.deployment_succeeded(tx, begun.id)
    assert room.promotions.get(begun.id).state is PromotionState.DEPLOYED
    assert room.promotions.live("prod") is None


@pytest.mark.parametrize(("word", "state"), [("deployment_failed", PromotionState.FAILED), ("deployment_rolled_back", PromotionState.ROLLED_BACK)])
def test_a_failed_deployment_leaves_its_reason(room_of: MakeRoom, word: str, state: PromotionState) -> None:
    room = room_of(environment())
    begun = approved(room)
    with room.store.writing() as tx:
        room.promotions.deployment_started(tx, begun.id, "dep_1")
        getattr(room.promotions, word)(tx, begun.id, {"code": "DEPLOY_UNHEALTHY", "what": "web is not healthy."})
    ended = room.promotions.get(begun.id)
    assert (ended.state, ended.failure) == (state, {"code": "DEPLOY_UNHEALTHY", "what": "web is not healthy."})
    assert "web is not healthy." in room.promotions.explain(begun.id).summary


def test_a_changed_plan_asks_the_gates_again_and_wants_another_run(room_of: MakeRoom) -> None:
    room = room_of(signed_off(1))
    waiting = room.evaluate(room.request())
    room.promotions.approve(ANN, waiting.id, reason="this plan")
    room.evaluate(waiting)
    with room.store.writing() as tx:
        changed = room.promotions.plan_changed(tx, waiting.id, "host_2 joined")
    assert (changed.state, changed.plan_digest, changed.waiting_until) == (PromotionState.WAITING, None, NOW + timedelta(seconds=5))
    assert "because its deployment was refused before it touched anything (host_2 joined)" in room.promotions.explain(waiting.id).summary
    assert room.promotions.reevaluate(waiting.id).attempt == 3
    assert room.evaluate(waiting, OTHER_PLAN).state is PromotionState.WAITING
    room.promotions.approve(ANN, waiting.id, reason="and this one")
    assert room.evaluate(waiting, OTHER_PLAN).state is PromotionState.APPROVED
    assert [number for kind, number in room.wanted_runs() if kind == "deployment"] == [1, 2]


def test_a_plan_that_changes_at_every_start_waits_longer_each_time(room_of: MakeRoom) -> None:
    room = room_of(environment())
    begun, pauses = approved(room), []
    for _ in range(8):
        with room.store.writing() as tx:
            changed = room.promotions.plan_changed(tx, begun.id, "host_1 restarts again and again")
        assert (changed.state, room.promotions.due_for_reevaluation()) == (PromotionState.WAITING, [])
        assert changed.waiting_until is not None
        pauses.append((changed.waiting_until - room.clock.now()).total_seconds())
        room.clock.moment = changed.waiting_until
        assert room.promotions.due_for_reevaluation() == [begun.id]
        room.promotions.reevaluate(begun.id)
        assert room.evaluate(begun).state is PromotionState.APPROVED
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_deployments_word_is_undone_with_its_transaction(room_of: MakeRoom) -> None:
    room = room_of(environment())
    begun = approved(room)

    def start_and_fail() -> None:
        with room.store.writing() as tx:
            room.promotions.deployment_started(tx, begun.id, "dep_1")
            raise StellaError("the engine failed", next_step="")

    with pytest.raises(StellaError, match="the engine failed"):
        start_and_fail()
    assert room.promotions.get(begun.id) == begun


def test_a_promotion_is_written_only_over_the_revision_that_was_read(room_of: MakeRoom) -> None:
    room = room_of(environment())
    asked = room.request()
    room.promotions.cancel(RITA, asked.id, "no")
    with pytest.raises(Conflict), room.store.writing() as tx:
        records.save_promotion(tx, asked.model_copy(update={"reason": "other"}), asked)


# ---------------------------------------------------------------- looking


def test_explaining_says_who_and_when(room_of: MakeRoom) -> None:
    room = room_of(signed_off())
    asked = room.request()
    assert room.promotions.explain(asked.id).summary == "shop-2.0.0 → prod is being evaluated: its gates are asked now."
    waiting = room.evaluate(asked)
    explanation = room.promotions.explain(waiting.id)
    assert explanation.summary == "shop-2.0.0 → prod is waiting for sign_off; an event, such as an approval, asks its gates again."
    assert explanation.would_change == (f"2 more of group release (ann, bob, cyn) approve plan {waiting.plan_digest.short if waiting.plan_digest else ''}.",)
    assert [promotion.id for promotion in room.promotions.list("prod")] == [asked.id]
    assert room.promotions.list("staging") == []
