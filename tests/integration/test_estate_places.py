"""A target of the estate is a name and a place: repointing it never orphans what runs in the old one, without a word."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from stella_pipelines.cli.exits import Exit
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Stella, carried_out, error_code


def test_a_target_that_runs_something_changes_its_place_only_when_the_old_one_is_let_go_of(stella: Stella, applied: Lab, tmp_path: Path) -> None:
    stella("release", "create", "shop", "1.0.0", f"web={applied.images['v1']}", "--commit", "5e1f0c3")
    text = applied.estate_path.read_text()
    elsewhere = tmp_path / "estate.yaml"
    elsewhere.write_text(re.sub(r"(  dev:.*\n    environment: dev(?:.*\n)*?.*directory: )(\S+?)(?=[},\s])", rf"\1{tmp_path}/elsewhere", text, count=1))
    assert elsewhere.read_text() != text
    assert carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]) == "deployed"
    answer = stella("apply", "-f", str(elsewhere))
    assert error_code(answer) == "ENV_TARGET_STILL_RUNS"
    assert f"{tmp_path}/elsewhere" in answer[1]["error"]["what"]
    assert "--forget-target dev" in answer[1]["error"]["next_step"]
    assert stella("diff", "-f", str(applied.estate_path))[0] is Exit.DONE
    assert stella("apply", "-f", str(elsewhere), "--forget-target", "dev")[1]["revision"] == 2
    with urllib.request.urlopen(f"{applied.hosts['dev'].url}/version", timeout=5) as served:
        assert served.status == 200  # forgetting stops nothing


def test_a_target_that_runs_nothing_changes_its_place_freely(stella: Stella, applied: Lab, tmp_path: Path) -> None:
    elsewhere = tmp_path / "estate.yaml"
    elsewhere.write_text(re.sub(r'(directory: "?[^"},\s]+)', r"\1-two", applied.estate_path.read_text()))
    answer = stella("apply", "-f", str(elsewhere))
    assert answer[0] is Exit.DONE
    assert answer[1]["revision"] == 2
