"""A release that was archived after its request: nothing allows it any more, and whoever asks is told who archived it and why."""

from __future__ import annotations

import pytest

from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import Rolling
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.releases.model import ReleaseState
from stella_pipelines.store.database import Store
from tests.simulation.installation import ALICE, Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World

WHY = "Release shop-1 was archived by alice at "


@pytest.fixture
def stella(store: Store) -> Installation:
    clock = SimulatedClock()
    installation = Installation(store, clock, World(clock))
    installation.apply(make_estate(1, Rolling(batch=1)))
    return installation


def test_what_is_archived_before_its_evaluation_is_not_allowed(stella: Installation) -> None:
    digest = stella.release("1")
    asked = stella.promotions.request(ALICE, environment="prod", release_digest=digest, reason="test")
    stella.releases.archive(ALICE, digest, "contains a backdoor")
    waiting = stella.evaluate(asked.id)
    assert (waiting.state, waiting.decision_packet) == (PromotionState.WAITING, None)
    explanation = stella.promotions.explain(asked.id)
    assert f"because its release cannot be promoted ({WHY}" in explanation.summary
    assert "contains a backdoor" in explanation.summary
    assert f"stella cancel {asked.id}" in explanation.would_change[0]


def test_what_is_archived_while_its_gates_are_asked_is_not_allowed(stella: Installation) -> None:
    digest = stella.release("1")
    asked = stella.promotions.request(ALICE, environment="prod", release_digest=digest, reason="test")
    evaluation = stella.promotions.begin_evaluation(asked.id, 1, {"environment": "prod", "targets": []})
    stella.releases.archive(ALICE, digest, "contains a backdoor")
    again, packet = stella.promotions.decide(evaluation.id)
    assert (again.state, again.attempt, packet) == (PromotionState.EVALUATING, 2, None)
    assert stella.evaluate(asked.id).state is PromotionState.WAITING


def test_what_is_archived_after_its_allow_is_not_deployed(stella: Installation) -> None:
    digest = stella.release("1")
    allowed = stella.approve(digest)
    assert allowed.state is PromotionState.APPROVED
    stella.releases.archive(ALICE, digest, "contains a backdoor")
    record = stella.run(allowed.id)
    assert (record.state, stella.world.runs()) == (DeploymentState.REFUSED, {"host-1": {}})
    assert record.failure is not None
    assert WHY in record.failure.what
    assert stella.promotions.get(allowed.id).state is PromotionState.WAITING
    stella.promotions.reevaluate(allowed.id)
    assert stella.evaluate(allowed.id).state is PromotionState.WAITING


def test_a_question_about_some_gates_alone_is_answered_the_same(stella: Installation) -> None:
    """A retry asks only some kinds of gates."""
    digest = stella.release("1")
    allowed = stella.approve(digest)
    assert allowed.plan_digest is not None
    for archived in (False, True):
        if archived:
            stella.releases.archive(ALICE, digest, "contains a backdoor")
        with stella.store.reading() as tx:
            said = stella.promotions.objections(tx, allowed.id, {}, allowed.plan_digest, frozenset({"freeze_window"}))
        assert [line.startswith(WHY) for line in said] == [True] * archived


def test_a_deprecated_release_is_still_deployed(stella: Installation) -> None:
    digest = stella.release("1")
    stella.releases.deprecate(ALICE, digest, "use 2")
    assert stella.releases.by_digest(digest).state is ReleaseState.DEPRECATED
    assert stella.deploy(digest).state is DeploymentState.SUCCEEDED
    assert stella.world.runs()["host-1"]["web"][0] == image("web", "1").digest
