"""What the command line answers to people and scripts: why nothing moves, how old a look is, what changed, which release runs now."""

from __future__ import annotations

import fcntl
import json
import re
import socket
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from stella_pipelines.cli import status
from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Speaking, Stella, carried_out, error_code


def deployed(stella: Stella, lab: Lab, version: str, image: str) -> None:
    """Release an image and carry it into dev."""
    assert stella("release", "create", "shop", version, f"web={lab.images[image]}", "--commit", "5e1f0c3")[0] is Exit.DONE
    assert carried_out(stella("promote", f"shop-{version}", "--to", "dev", "--no-wait")[1]["id"]) == "deployed"


def test_an_empty_home_says_how_to_begin(speaking: Speaking) -> None:
    said = speaking("status")
    assert said.code is Exit.DONE
    assert "No estate yet" in said.out
    assert "stella apply -f estate.yaml" in said.out


def test_while_nobody_runs_stella_up_a_promotion_says_that_nothing_moves(stella: Stella, speaking: Speaking, applied: Lab, home: Path) -> None:
    asked = speaking("promote", "shop-1.0.0", "--to", "dev", "--no-wait")
    assert asked.code is Exit.DONE
    assert "`stella up` is not running" in asked.err
    assert "not running" not in asked.out
    assert "`stella up` is not running" in speaking("status").err
    with (home / "up.lock").open("a+") as lock:  # as `stella up` holds it
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert speaking("status").err == ""


def test_with_nothing_on_its_way_nobody_is_missed(speaking: Speaking, applied: Lab) -> None:
    assert speaking("status").err == ""


def test_the_end_of_the_timeout_has_an_exit_code_of_its_own(speaking: Speaking, stella: Stella, applied: Lab) -> None:
    said = speaking("promote", "shop-1.0.0", "--to", "dev", "--timeout", "1")
    assert said.code is Exit.NOT_YET
    assert "Not followed any longer than 1 s" in said.err
    assert stella("status", "dev")[1]["promotion"]["state"] == "evaluating"


def test_without_a_live_promotion_the_newest_one_is_shown_with_its_reasons(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    assert stella("status", "prod") == (Exit.DONE, {"promotion": None, "gates": [], "deployment": None, "unfinished": None, "observation": None})
    assert carried_out(stella("promote", "shop-1.0.0", "--to", "prod", "--no-wait")[1]["id"]) == "rejected"
    said = speaking("status", "prod")
    assert said.code is Exit.DONE
    assert "shop-1.0.0 → prod  rejected" in said.out
    assert "soaked_in_staging" in said.out
    assert stella("status", "prod")[1]["promotion"]["state"] == "rejected"


def test_health_has_an_age_and_times_have_a_zone(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    deployed(stella, applied, "1.0.0", "v1")
    assert re.search(r"healthy \d+ s ago", speaking("status").out)
    row = next(row for row in stella("status")[1] if row["environment"] == "dev")
    for key in ("deployed_at", "observed_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", row[key])
        assert datetime.fromisoformat(row[key]).utcoffset() is not None


def test_watching_with_json_is_one_line_per_look(applied: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([None, None])

    def rest(seconds: float) -> None:
        if next(looks, "over") == "over":
            raise KeyboardInterrupt

    monkeypatch.setattr(status, "time", SimpleNamespace(sleep=rest))  # and not `time.sleep`, which others call too
    capsys.readouterr()
    assert run(["status", "--watch", "--json"]) is Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert {row["environment"] for line in lines for row in json.loads(line)} == {"dev", "staging", "prod"}


def test_a_difference_shows_each_field_before_and_after(speaking: Speaking, applied: Lab, tmp_path: Path) -> None:
    changed = tmp_path / "estate.yaml"
    changed.write_text(applied.estate_path.read_text().replace("soak_s: 2}", "soak_s: 3}").replace("display_name: Staging", "display_name: Stage"))
    said = speaking("diff", "-f", str(changed))
    assert said.code is Exit.WAITING
    assert 'display_name: "Staging" → "Stage"' in said.out
    assert re.search(r"soak_s: 2(\.0)? → 3(\.0)?$", said.out, re.MULTILINE)


def test_a_rollback_says_where_it_goes_and_what_runs_then(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    deployed(stella, applied, "1.0.0", "v1")
    deployed(stella, applied, "1.1.0", "v2")
    back = speaking("rollback", "dev")
    assert back.code is Exit.DONE
    assert "dev: shop-1.1.0 → shop-1.0.0\n" in back.out
    assert "Runs now: shop-1.0.0." in back.out
    assert error_code(stella("rollback", "dev")) == "DEPLOY_NOT_PROVEN"  # further back there is nothing, and forward it does not go by itself
    forward = stella("rollback", "dev", "--to", "shop-1.1.0")
    assert (forward[0], forward[1]["runs"]) == (Exit.DONE, "shop-1.1.0")


def test_what_failed_is_tried_again_alone(stella: Stella, speaking: Speaking, applied: Lab, tmp_path: Path) -> None:
    """Somebody sits on prod-2's port. Dev has both prod hosts here, and leaves what failed as it is."""
    assert error_code(stella("retry", "dev")) == "DEPLOY_NOTHING_TO_RETRY"
    text = re.sub(r"(prod-[12]:.*\n    environment: )prod", r"\1dev", applied.estate_path.read_text())
    edited = tmp_path / "estate.yaml"
    edited.write_text(re.sub(r"^  dev:\n", "  dev:\n    rollback_on_failure: false\n", text, count=1, flags=re.MULTILINE))
    assert stella("apply", "-f", str(edited))[0] is Exit.DONE
    host = applied.hosts["prod-2"]
    with socket.create_server((host.address, host.port)):
        assert carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]) == "failed"
    said = speaking("retry", "dev", "--reason", "the port is free now")
    assert said.code is Exit.DONE
    assert "prod-2" in said.out
    assert "prod-1" not in said.out
    assert "Runs now: shop-1.0.0." in said.out
    assert error_code(stella("retry", "dev")) == "DEPLOY_NOTHING_TO_RETRY"
    assert error_code(stella("retry", "dep_nosuch")) == "RES_DEPLOYMENT_MISSING"


def test_a_target_that_still_runs_something_leaves_only_when_it_is_forgotten(stella: Stella, applied: Lab, tmp_path: Path) -> None:
    deployed(stella, applied, "1.0.0", "v1")
    text = applied.estate_path.read_text()
    renamed = tmp_path / "estate.yaml"
    renamed.write_text(re.sub(r"^  dev:(.*\n    environment: dev)", r"  dev_two:\1", text, flags=re.MULTILINE))
    assert renamed.read_text() != text
    answer = stella("apply", "-f", str(renamed))
    assert error_code(answer) == "ENV_TARGET_STILL_RUNS"
    assert "--forget-target dev" in answer[1]["error"]["next_step"]
    assert stella("diff", "-f", str(applied.estate_path)) == (Exit.DONE, {"revision": None, "changes": []})
    assert error_code(stella("apply", "-f", str(renamed), "--forget-target", "dev", "--forget-target", "prod-1")) == "ENV_TARGET_NOT_LEAVING"
    assert stella("apply", "-f", str(renamed), "--forget-target", "dev")[1]["revision"] == 2
    assert stella("apply", "-f", str(renamed), "--forget-target", "dev")[1]["revision"] == 2


def test_a_draft_can_be_discarded_and_a_finalized_release_cannot(stella: Stella, applied: Lab) -> None:
    assert stella("release", "create", "shop", "2.0.0", f"web={applied.images['v2']}", "--draft")[0] is Exit.DONE
    assert stella("release", "discard", "shop-2.0.0") == (Exit.DONE, {"discarded": "shop-2.0.0"})
    assert error_code(stella("release", "discard", "shop-2.0.0")) == "RES_RELEASE_MISSING"
    assert error_code(stella("release", "discard", "shop-1.0.0")) == "REL_FINALIZED"


def test_a_draft_is_finalized_by_its_label_too(stella: Stella, applied: Lab) -> None:
    assert stella("release", "create", "shop", "2.0.0", f"web={applied.images['v2']}", "--draft")[0] is Exit.DONE
    assert stella("release", "finalize", "shop-2.0.0")[1]["state"] == "finalized"


def test_a_deprecated_release_is_promoted_with_a_warning_and_an_archived_one_is_not(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    assert stella("release", "deprecate", "shop-1.0.0", "--reason", "leaks memory")[1]["state"] == "deprecated"
    assert "shop-1.0.0 is deprecated." in speaking("promote", "shop-1.0.0", "--to", "dev", "--no-wait").err
    assert stella("cancel", "dev")[0] is Exit.DONE
    assert stella("release", "archive", "shop-1.0.0", "--reason", "gone")[1]["state"] == "archived"
    assert error_code(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")) == "PROM_RELEASE_NOT_FINALIZED"
    assert error_code(stella("release", "deprecate", "shop-1.0.0", "--reason", "again")) == "REL_LIFECYCLE"


def test_a_target_can_be_taken_over_after_the_database_was_replaced(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    (applied.hosts["dev"].folder / "fence").write_text("41")
    assert carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]) == "failed"
    assert "stella take-over" in speaking("status", "dev").out
    said = speaking("take-over", "dev", "--reason", "restored from last night's backup")
    assert said.code is Exit.DONE
    assert "was deployed to under token 41" in said.out
    assert carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]) == "deployed"
    assert error_code(stella("take-over", "nosuch", "--reason", "why not")) == "ENV_TARGET_UNKNOWN"
