"""Who may approve: names, commit authors, and membership then and now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stella_pipelines.core.actor import Actor
from stella_pipelines.environments.model import Environment
from stella_pipelines.promotions.approvals import Approval, eligible_at_request, expiry_s, may_be_one_person, newest_per_person, seats_of
from tests.support.promotions import ANN, BOB, NOW, digest, environment


def with_groups(release: list[str], security: list[str]) -> Environment:
    first = {"kind": "approval", "groups": [{"name": "release", "members": release}], "expires_after_s": 60}
    second = {"kind": "approval", "groups": [{"name": "release", "members": security}], "expires_after_s": 3600}
    return environment(gates=[{"name": "sign_off", "config": first}, {"name": "audit", "config": second}])


@pytest.mark.parametrize("author", ["ann", "Ann", "Ann <a.smith@example.com>", "A. Smith <ann@example.com>", "ann@example.com", "Someone <ANN@example.com>"])
def test_an_author_is_known_by_name_address_or_its_local_part(author: str) -> None:
    assert may_be_one_person("ann", author)


@pytest.mark.parametrize("author", ["", "<>", "annette", "Ann Smith <smith@example.com>", "bob <bob@ann>", "x <ann.smith@example.com>"])
def test_somebody_else_is_not_the_author(author: str) -> None:
    assert not may_be_one_person("ann", author)


def test_one_must_be_in_the_group_at_the_request_and_now() -> None:
    recorded = eligible_at_request(with_groups(["ann", "bob"], ["ann"]))
    now = with_groups(["bob", "cyn"], ["Ann"])
    assert seats_of("ann", now, recorded) == ("audit/release",)
    assert seats_of("BOB", now, recorded) == ("sign_off/release",)
    assert seats_of("cyn", now, recorded) == ()
    assert seats_of("ann", environment(), recorded) == ()
    assert eligible_at_request(environment()) == ()


def test_an_approval_holds_as_long_as_the_strictest_gate_grants() -> None:
    assert expiry_s(with_groups([], [])) == 60
    assert expiry_s(environment()) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [("ann", "ann@corp.example"), ("ANN@corp.example", "ann"), ("ann@corp.example", "Ann@Corp.Example"), ("ann", " Ann "), ("ann@corp.example", "Ann <x@y.z>")],
)
def test_an_alias_is_the_same_person_where_duties_are_separated(one: str, other: str) -> None:
    assert may_be_one_person(one, other)
    assert may_be_one_person(other, one)


@pytest.mark.parametrize(("one", "other"), [("ann", "annette"), ("ann@corp.example", "ann@other.example"), ("ann", "bob@ann"), ("", ""), ("ann", "@ann")])
def test_two_whole_addresses_or_different_names_are_two_people(one: str, other: str) -> None:
    assert not may_be_one_person(one, other)
    assert not may_be_one_person(other, one)


def word(number: int, actor: Actor, verdict: str, seconds: float) -> Approval:
    at = NOW + timedelta(seconds=seconds)
    about = {"id": f"apr_{number}", "promotion_id": "prm_1", "actor": actor, "verdict": verdict, "plan_digest": digest("plan"), "groups": ()}
    return Approval.model_validate({**about, "at": at, "expires_at": at + timedelta(hours=1)})


def test_each_person_has_one_voice_the_last() -> None:
    first, other = word(1, ANN, "reject", 0), word(2, BOB, "approve", 0)
    second = word(3, ANN.model_copy(update={"name": "ANN"}), "approve", 1)
    assert newest_per_person([first, other, second]) == (other, second)


def test_the_last_word_is_the_one_that_was_stored_last_even_if_the_clock_was_set_back() -> None:
    approved, rejected = word(2, ANN, "approve", 0), word(1, ANN, "reject", -3600)
    assert newest_per_person([approved, rejected]) == (rejected,)
