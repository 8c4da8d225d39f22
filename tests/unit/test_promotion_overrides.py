"""Overrides: two people, one verdict, one plan, a few hours; what the gate said stays recorded, and a replay gives the same bytes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stella_pipelines.core.actor import SYSTEM, Actor
from stella_pipelines.core.errors import StellaError
from stella_pipelines.environments.model import Estate, Gate, Policy, PolicyGateConfig
from stella_pipelines.environments.rules.every import findings
from stella_pipelines.evidence.listing import page
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.promotions.overrides import EXPIRES_AFTER_S, Override
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.promotions.recorded_decision import read_decision
from stella_pipelines.promotions.replay import replay
from stella_pipelines.promotions.what_if import what_if
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from tests.support.evidence import signing_key
from tests.support.predicate_schemas import require_every_packet_fits
from tests.support.promotions import ANN, BOB, CYN, PLAN, RITA, ZED, Room, environment, make_room

POLICIES = {"yes": "release.name == 'shop'", "no": "release.name == 'other'", "also_no": "release.version == '9'"}
PEOPLE = ("ann", "bob", "rita")


def gate(policy: str, people: tuple[str, ...] = PEOPLE, name: str = "ours") -> Gate:
    return Gate(name=name, config=PolicyGateConfig(policy=policy, overridable_by=people))


def rejecting(store: Store, *gates: Gate) -> tuple[Room, Promotion]:
    """A room whose gate denies, and the promotion that it rejected."""
    policies = tuple(Policy(name=name, cel=cel) for name, cel in POLICIES.items())
    room = make_room(store, signing_key(), environment(gates=gates or (gate("no"),)), policies=policies)
    rejected = room.evaluate(room.request())
    assert rejected.state is PromotionState.REJECTED
    return room, rejected


def overridden(room: Room, promotion: Promotion, name: str = "ours") -> Override:
    asked = room.promotions.overriding.ask(ANN, promotion.id, name, "customers are waiting")
    return room.promotions.overriding.confirm(BOB, asked.id)


def statement_of(room: Room, packet_id: str | None) -> Statement:
    assert packet_id is not None
    with room.store.reading() as tx:
        return read_verified(room.evidence, tx, packet_id)[1].statement


def again(room: Room, actor: Actor = RITA) -> Promotion:
    return room.evaluate(room.request(actor))


def test_two_people_overrule_a_deny_for_the_next_request(store: Store) -> None:
    room, rejected = rejecting(store)
    override = overridden(room, rejected)
    allowed = again(room)
    assert allowed.state is PromotionState.APPROVED
    assert room.promotions.get(rejected.id).state is PromotionState.REJECTED, "an end is an end"
    decision = statement_of(room, allowed.decision_packet)
    (judged,) = decision.predicate["decision"]["gates"]
    assert judged["verdict"] == "deny", "what the gate said stays as it was"
    assert decision.predicate["decision"]["outcome"] == "allow"
    (told,) = decision.predicate["decision"]["overridden"]
    assert (told["gate"], told["override_id"], told["packet"]) == ("ours", override.id, override.packet)
    assert {one.name: one.digest for one in decision.inputs}["override/ours"] == override.packet
    assert require_every_packet_fits(store, room.evidence) == {"decision", "summary", "override"}


def test_its_packet_names_both_people_and_stands_in_the_environments_stream(store: Store) -> None:
    room, rejected = rejecting(store)
    override = overridden(room, rejected)
    with store.reading() as tx:
        assert [(packet.kind, packet.sequence) for packet in page(tx, environment="prod")[0]] == [("override", 2), ("decision", 1)]
    predicate = statement_of(room, override.packet_id).predicate
    assert (predicate["asked_by"]["name"], predicate["confirmed_by"]["name"]) == ("ann", "bob")
    assert predicate["override"]["plan_digest"] == rejected.plan_digest
    assert predicate["override"]["reasons"] == list(override.overruled.reasons)
    assert override.expires_at - override.asked_at == timedelta(seconds=EXPIRES_AFTER_S)


def test_a_replay_of_the_decision_gives_the_same_bytes(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    packet = room.packet(again(room))
    with store.reading() as tx:
        report = replay(packet, lambda wanted: blobs.get(tx, wanted))
    assert report.byte_equal
    assert report.differences == ()


def test_the_summary_of_an_overridden_decision_has_passed(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    again(room)
    with store.reading() as tx:
        newest = page(tx, environment="prod", kind="summary")[0][0]
    assert statement_of(room, newest.id).predicate["verificationResult"] == "PASSED"


def test_one_word_alone_overrules_nothing(store: Store) -> None:
    room, rejected = rejecting(store)
    room.promotions.overriding.ask(ANN, rejected.id, "ours", "customers are waiting")
    assert again(room).state is PromotionState.REJECTED


def test_only_the_gate_that_was_named_is_overruled(store: Store) -> None:
    room, rejected = rejecting(store, gate("no"), gate("also_no", name="theirs"))
    overridden(room, rejected)
    assert again(room).state is PromotionState.REJECTED
    overridden(room, rejected, "theirs")
    assert again(room).state is PromotionState.APPROVED


def test_it_expires(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    room.clock.forward(EXPIRES_AFTER_S)
    assert again(room).state is PromotionState.REJECTED


def test_it_holds_for_one_plan(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    assert room.evaluate(room.request(), {**PLAN, "targets": []}).state is PromotionState.REJECTED


def test_another_deny_of_the_same_gate_is_not_overruled(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    others = tuple(policy.model_copy(update={"cel": POLICIES["also_no"]}) for policy in room.estate.estate.policies)
    room.estate.estate = room.estate.estate.model_copy(update={"policies": others})
    assert again(room).state is PromotionState.REJECTED


def test_a_gate_that_was_declared_anew_is_not_overruled(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    room.estate.estate = room.estate.estate.model_copy(update={"environments": (environment(gates=(gate("no", ("ann", "bob", "zed")),)),)})
    assert again(room).state is PromotionState.REJECTED


def test_who_confirmed_cannot_be_who_requests(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    assert again(room, BOB).state is PromotionState.REJECTED
    assert again(room, CYN).state is PromotionState.APPROVED


def test_it_still_stands_at_the_moment_of_acting_and_no_longer_when_it_has_expired(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    allowed = again(room)
    assert allowed.plan_digest is not None
    with store.reading() as tx:
        assert room.promotions.objections(tx, allowed.id, PLAN, allowed.plan_digest) == ()
    room.clock.forward(EXPIRES_AFTER_S)
    with store.reading() as tx:
        (objection,) = room.promotions.objections(tx, allowed.id, PLAN, allowed.plan_digest)
    assert objection.startswith("ours: deny.")


@pytest.mark.parametrize(
    ("actor", "code"),
    [
        (ANN, "PROM_OVERRIDE_REFUSED"),  # asked for it
        (Actor(name="ANN", via="test"), "PROM_OVERRIDE_REFUSED"),
        (RITA, "PROM_OVERRIDE_REFUSED"),  # requested the promotion
        (ZED, "PERM_NOT_OVERRIDABLE"),
        (SYSTEM, "PERM_NOT_OVERRIDABLE"),
    ],
)
def test_who_may_not_confirm(store: Store, actor: Actor, code: str) -> None:
    room, rejected = rejecting(store)
    asked = room.promotions.overriding.ask(ANN, rejected.id, "ours", "customers are waiting")
    with pytest.raises(StellaError) as refused:
        room.promotions.overriding.confirm(actor, asked.id)
    assert refused.value.code == code
    assert again(room).state is PromotionState.REJECTED
    assert (actor.name, "override.confirm.refused") in room.audited(rejected.id)


def test_the_requester_may_be_the_one_who_asks_but_is_never_both(store: Store) -> None:
    room, rejected = rejecting(store)
    asked = room.promotions.overriding.ask(RITA, rejected.id, "ours", "customers are waiting")
    assert room.promotions.overriding.confirm(BOB, asked.id).confirmed_by == BOB


def test_a_gate_is_not_overridable_unless_the_estate_says_so(store: Store) -> None:
    room, rejected = rejecting(store, gate("no", ()))
    with pytest.raises(StellaError, match="the estate does not name them"):
        room.promotions.overriding.ask(ANN, rejected.id, "ours", "customers are waiting")
    assert room.audited(rejected.id)[-1] == ("ann", "override.ask.refused")


@pytest.mark.parametrize("late_s", [0.0, EXPIRES_AFTER_S])
def test_it_is_confirmed_once_and_in_time(store: Store, late_s: float) -> None:
    room, rejected = rejecting(store)
    asked = room.promotions.overriding.ask(ANN, rejected.id, "ours", "customers are waiting")
    if late_s == 0.0:
        room.promotions.overriding.confirm(BOB, asked.id)
    room.clock.forward(late_s)
    with pytest.raises(StellaError, match="cannot be confirmed any more"):
        room.promotions.overriding.confirm(BOB, asked.id)


def test_a_gate_that_allows_has_nothing_to_overrule(store: Store) -> None:
    room, rejected = rejecting(store, gate("no"), gate("yes", name="fine"))
    with pytest.raises(StellaError, match="does not stand in the way"):
        room.promotions.overriding.ask(ANN, rejected.id, "fine", "to be sure")


def test_it_leaves_a_task_until_somebody_else_has_reviewed_it(store: Store) -> None:
    room, rejected = rejecting(store)
    override = overridden(room, rejected)
    assert [one.id for one in room.promotions.overrides(to_review=True)] == [override.id]
    with pytest.raises(StellaError, match="not by who asked"):
        room.promotions.overriding.review(ANN, override.id, "it was fine")
    done = room.promotions.overriding.review(CYN, override.id, "the policy was wrong; corrected")
    assert (done.reviewed_by, done.review) == (CYN, "the policy was wrong; corrected")
    assert room.promotions.overrides(to_review=True) == []
    assert [action for _, action in room.audited(override.id)] == ["override.ask", "override.confirm", "override.review"]


@pytest.mark.parametrize(
    ("people", "message"),
    [(("ann",), "at least two"), (("ann", "ANN"), "at least two"), (("ann", "b b"), "cannot be anybody's name"), (PEOPLE, None), ((), None)],
)
def test_the_estate_names_two_people_or_none(people: tuple[str, ...], message: str | None) -> None:
    estate = Estate(environments=(environment(gates=(gate("no", people),)),), policies=(Policy(name="no", cel=POLICIES["no"]),))
    found = [finding.message for finding in findings(estate) if "overridable_by" in finding.path]
    assert len(found) == (0 if message is None else 1)
    assert message is None or message in found[0]


def test_the_same_rules_would_have_decided_the_same(store: Store) -> None:
    room, rejected = rejecting(store)
    overridden(room, rejected)
    packet = room.packet(again(room))
    with store.reading() as tx:
        decision = read_decision(packet.id, statement_of(room, packet.id), lambda wanted: blobs.get(tx, wanted))
    said = what_if(decision, room.estate.estate, room.estate.estate)
    assert (said.before, said.after, said.answer) == ("allow", "allow", "stays")
