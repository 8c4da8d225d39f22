"""Who may approve: names, commit authors, and membership then and now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stella_pipelines.environments.model import Environment
from stella_pipelines.promotions.approvals import Approval, eligible_at_request, expiry_s, is_author, newest_per_person, seats_of
from tests.support.promotions import ANN, BOB, NOW, digest, environment


def with_groups(release: list[str], security: list[str]) -> Environment:
    first = {"kind": "approval", "groups": [{"name": "release", "members": release}], "expires_after_s": 60}
    second = {"kind": "approval", "groups": [{"name": "release", "members": security}], "expires_after_s": 3600}
    return environment(gates=[{"name": "sign_off", "config": first}, {"name": "audit", "config": second}])


@pytest.mark.parametrize("author", ["ann", "Ann", "Ann <a.smith@example.com>", "A. Smith <ann@example.com>", "ann@example.com", "Someone <ANN@example.com>"])
def test_an_author_is_known_by_name_address_or_its_local_part(author: str) -> None:
    assert is_author("ann", author)


@pytest.mark.parametrize("author", ["", "<>", "annette", "Ann Smith <smith@example.com>", "bob <bob@ann>", "x <ann.smith@example.com>"])
def test_somebody_else_is_not_the_author(author: str) -> None:
    assert not is_author("ann", author)


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


def test_each_person_has_one_voice_the_last() -> None:
    first = Approval(
        id="apr_1", promotion_id="prm_1", actor=ANN, verdict="reject", plan_digest=digest("plan"), at=NOW, expires_at=NOW + timedelta(hours=1), groups=()
    )
    second = first.model_copy(update={"id": "apr_2", "verdict": "approve", "at": NOW + timedelta(seconds=1), "actor": ANN.model_copy(update={"name": "ANN"})})
    other = first.model_copy(update={"id": "apr_3", "actor": BOB})
    assert newest_per_person([second, other, first]) == (other, second)
