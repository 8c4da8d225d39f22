"""The closed table: every pair has an answer, and `decide` gives exactly that one."""

from __future__ import annotations

from pathlib import Path

import pytest

from stella_pipelines.promotions import promotion as commands
from stella_pipelines.promotions.errors import IllegalCommand
from stella_pipelines.promotions.promotion import Command, Promotion, decide
from stella_pipelines.promotions.transitions import LIVE, TABLE, CommandName, PromotionState, allowed, answer, table_markdown
from tests.support.promotions import NOW, digest, promotion

EVALUATED = {"attempt": 1, "evaluation_id": "evl_1", "plan_digest": digest("plan")}
COMMANDS: dict[CommandName, Command] = {
    CommandName.EVALUATION_WAITS: commands.EvaluationWaits.model_validate({**EVALUATED, "until": NOW}),
    CommandName.EVALUATION_ALLOWS: commands.EvaluationAllows.model_validate({**EVALUATED, "packet_id": "evd_1"}),
    CommandName.EVALUATION_DENIES: commands.EvaluationDenies.model_validate({**EVALUATED, "packet_id": "evd_1"}),
    CommandName.REEVALUATE: commands.Reevaluate(),
    CommandName.START_DEPLOYMENT: commands.StartDeployment(deployment_id="dep_1"),
    CommandName.DEPLOYMENT_SUCCEEDED: commands.DeploymentSucceeded(),
    CommandName.DEPLOYMENT_FAILED: commands.DeploymentFailed(failure={"code": "DEPLOY_UNHEALTHY"}),
    CommandName.DEPLOYMENT_ROLLED_BACK: commands.DeploymentRolledBack(failure={"code": "DEPLOY_UNHEALTHY"}),
    CommandName.PLAN_CHANGED: commands.PlanChanged(until=NOW, failure={}),
    CommandName.RUN_DIED: commands.RunDied(runs_died=1, progress=None, until=None, failure=None),
    CommandName.CANCEL: commands.Cancel(),
    CommandName.EXPIRE: commands.Expire(),
}
PAIRS = [(state, command) for state in PromotionState for command in CommandName]


def in_state(state: PromotionState) -> Promotion:
    started = state in (PromotionState.DEPLOYING, PromotionState.DEPLOYED, PromotionState.FAILED, PromotionState.ROLLED_BACK)
    return promotion(state=state, deployment_id="dep_1" if started else None)


@pytest.mark.parametrize(("state", "command"), PAIRS)
def test_every_pair_has_the_answer_of_the_table(state: PromotionState, command: CommandName) -> None:
    before, expected = in_state(state), answer(state, command)
    if expected is None:
        with pytest.raises(IllegalCommand) as refused:
            decide(before, COMMANDS[command], NOW)
        assert str(state) in refused.value.what
        assert all(name in refused.value.next_step for name in allowed(state))
    else:
        after = decide(before, COMMANDS[command], NOW)
        assert (after.state, after.revision) == (expected, before.revision + 1)


def test_the_table_is_closed() -> None:
    assert set(TABLE) == set(PromotionState)
    assert {len(row) for row in TABLE.values()} == {len(CommandName)}
    assert set(COMMANDS) == set(CommandName)
    assert len(PAIRS) == 120


def test_an_end_is_an_end() -> None:
    assert {state: allowed(state) for state in PromotionState if state not in LIVE} == dict.fromkeys(set(PromotionState) - set(LIVE), ())


def test_only_an_evaluation_that_allows_leads_to_approved() -> None:
    leading = [pair for pair in PAIRS if answer(*pair) is PromotionState.APPROVED and pair[0] is not PromotionState.APPROVED]
    assert leading == [(PromotionState.EVALUATING, CommandName.EVALUATION_ALLOWS)]


def test_only_the_newest_attempt_speaks() -> None:
    with pytest.raises(IllegalCommand, match="attempt 2 is the newest"):
        decide(promotion(attempt=2), COMMANDS[CommandName.EVALUATION_ALLOWS], NOW)


def test_another_deployment_cannot_take_over() -> None:
    with pytest.raises(IllegalCommand, match="deployment dep_1 belongs to it"):
        decide(in_state(PromotionState.DEPLOYING), commands.StartDeployment(deployment_id="dep_2"), NOW)


def test_a_changed_plan_forgets_the_approved_one() -> None:
    approved = decide(promotion(), COMMANDS[CommandName.EVALUATION_ALLOWS], NOW)
    waiting = decide(approved, commands.PlanChanged(until=NOW, failure={"what": "host_2 joined"}), NOW)
    assert (waiting.plan_digest, waiting.decision_packet, waiting.deployment_id, waiting.refused_starts) == (None, None, None, 1)
    assert (waiting.state, waiting.waiting_until, waiting.failure) == (PromotionState.WAITING, NOW, {"what": "host_2 joined"})
    again = decide(waiting, commands.Reevaluate(), NOW)
    assert (again.attempt, again.failure, again.refused_starts) == (2, None, 1)


def test_the_table_prints_as_markdown() -> None:
    lines = table_markdown().splitlines()
    assert len(lines) == 2 + len(PromotionState)
    assert {line.count("|") for line in lines} == {len(CommandName) + 2}
    assert "| waiting | – | – | – | evaluating |" in lines[3]


def test_the_documents_show_this_very_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")
    assert page.split("<!-- table: begin -->\n")[1].split("\n<!-- table: end -->")[0] == table_markdown()
