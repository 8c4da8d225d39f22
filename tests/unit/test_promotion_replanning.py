"""A plan that changed before its start: the pause grows and is bounded, and the promotion says why it waits."""

from __future__ import annotations

from datetime import timedelta

from stella_pipelines.promotions.replanning import PLAN_CHANGED, pause_s, plan_changed
from tests.support.promotions import NOW, promotion


def test_pauses_grow_and_are_bounded() -> None:
    assert [pause_s(changes) for changes in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert pause_s(10**9) == 300


def test_the_command_says_until_when_and_why() -> None:
    command = plan_changed(promotion(refused_starts=2), "host_2 joined", NOW)
    assert command.until == NOW + timedelta(seconds=20)
    assert (command.failure["code"], command.failure["what"]) == (PLAN_CHANGED, "host_2 joined")
    assert plan_changed(promotion(), "frozen", NOW, "DEPLOY_ALLOW_STALE").failure["code"] == "DEPLOY_ALLOW_STALE"
    assert plan_changed(promotion(), None, NOW).failure["what"] != ""
