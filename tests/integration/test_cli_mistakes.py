"""What a person gets wrong on the command line is refused with a code, changes nothing, and says what to do instead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stella_pipelines.cli.exits import Exit
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.lab.lab import Lab
from tests.support.carrying_out import evaluate
from tests.support.command_line import Speaking, Stella, carried_out, error_code


@pytest.mark.parametrize("words", [("status",), ("apply", "-f", "examples/estate.yaml"), ("up", "--port", "0")])
def test_a_home_that_cannot_be_used_is_refused(stella: Stella, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """A file, a place below a file, and a folder in which nobody can make a file (root neither)."""
    (tmp_path / "file").write_text("not a folder")
    for home in (tmp_path / "file", tmp_path / "file" / "home", Path("/proc/self")):
        monkeypatch.setenv("STELLA_HOME", str(home))
        assert error_code(stella(*words)) == "SYS_HOME_UNUSABLE"
    assert (tmp_path / "file").read_text() == "not a folder"


def test_an_undeclared_component_is_refused_with_what_was_meant(stella: Stella, applied: Lab) -> None:
    answer = stella("release", "create", "shop", "2.0.0", f"wbe={applied.images['v2']}")
    assert error_code(answer) == "REL_COMPONENT_UNDECLARED"
    assert "Did you mean 'web'?" in answer[1]["error"]["what"]
    assert error_code(stella("release", "show", "shop-2.0.0")) == "RES_RELEASE_MISSING"


def test_two_images_for_one_component_are_refused(stella: Stella, applied: Lab) -> None:
    assert error_code(stella("release", "create", "shop", "2.0.0", f"web={applied.images['v1']}", f"web={applied.images['v2']}")) == "VAL_IMAGE_TWICE"
    assert error_code(stella("release", "show", "shop-2.0.0")) == "RES_RELEASE_MISSING"


@pytest.mark.parametrize(
    "words",
    [
        ("status", "prdo"),
        ("plan", "shop-1.0.0", "--to", "prdo"),
        ("promote", "shop-1.0.0", "--to", "prdo", "--no-wait"),
        ("approve", "prdo", "--no-wait"),
        ("reject", "prdo", "--reason", "no", "--no-wait"),
        ("cancel", "prdo"),
        ("rollback", "prdo"),
        ("evidence", "list", "--environment", "prdo"),
    ],
    ids=lambda words: words[0],
)
def test_a_misspelt_environment_is_one_error_everywhere(stella: Stella, applied: Lab, words: tuple[str, ...]) -> None:
    answer = stella(*words)
    assert error_code(answer) == "PROM_ENVIRONMENT_UNKNOWN"
    assert answer[1]["error"]["next_step"] == "Did you mean prod? There are: dev, staging, prod."


def test_an_environment_that_left_the_estate_keeps_its_evidence(stella: Stella, applied: Lab, tmp_path: Path) -> None:
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    without_dev = tmp_path / "estate.yaml"
    text = applied.estate_path.read_text().replace("  dev:\n    display_name", "  test:\n    display_name")
    without_dev.write_text(text.replace("[dev]", "[test]").replace("environment: dev", "environment: test"))
    assert stella("apply", "-f", str(without_dev), "--forget-target", "dev")[0] is Exit.DONE
    assert [packet["kind"] for packet in stella("evidence", "list", "--environment", "dev")[1]] == ["deployment", "decision"]
    assert stella("evidence", "list", "--environment", "test") == (Exit.DONE, [])


def test_a_kind_of_evidence_that_there_is_not_is_refused(stella: Stella, applied: Lab) -> None:
    answer = stella("evidence", "list", "--kind", "decisions")
    assert error_code(answer) == "VAL_EVIDENCE_KIND"
    assert "Did you mean 'decision'?" in answer[1]["error"]["what"]


def test_a_packet_is_not_written_into_a_folder_that_is_not_there(stella: Stella, speaking: Speaking, applied: Lab, tmp_path: Path) -> None:
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    packet = stella("evidence", "list")[1][0]["id"]
    assert error_code(stella("evidence", "show", packet, "--raw", str(tmp_path / "missing" / "packet.json"))) == "EVID_FILE_UNWRITABLE"
    written = speaking("evidence", "show", packet, "--raw", str(tmp_path / "packet.json"))
    assert written.code is Exit.DONE
    assert written.out.startswith("Written to ")
    assert "predicate" not in written.out
    assert (tmp_path / "packet.json").stat().st_size > 0


def test_what_is_deploying_is_rolled_back_and_not_cancelled(stella: Stella, applied: Lab) -> None:
    promotion = stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]
    with open_control_plane(Settings.from_environ(os.environ)) as plane:
        assert evaluate(plane, promotion).state.value == "approved"
        with plane.store.writing() as tx:
            plane.promotions.deployment_started(tx, promotion, "dep_1")
    answer = stella("cancel", "dev")
    assert error_code(answer) == "PROM_ILLEGAL_COMMAND"
    assert answer[1]["error"]["next_step"] == "Let it end, or take it back with 'stella rollback dev'."


def test_nothing_on_its_way_is_said_so(stella: Stella, applied: Lab) -> None:
    answer = stella("cancel", "dev")
    assert error_code(answer) == "RES_PROMOTION_MISSING"
    assert answer[1]["error"]["what"] == "Nothing is on its way into dev."
    ended = stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]
    assert stella("cancel", ended)[0] is Exit.DONE
    assert "It has ended" in stella("cancel", ended)[1]["error"]["next_step"]


@pytest.mark.parametrize(("name", "version", "example"), [("Shop", "1.0.0", "such as shop"), ("shop", "1 0", "such as 1.4.0"), ("web-shop", "1.0.0", "hyphen")])
def test_a_release_that_cannot_have_this_name_says_how_names_are_written(stella: Stella, applied: Lab, name: str, version: str, example: str) -> None:
    answer = stella("release", "create", name, version, f"web={applied.images['v1']}")
    assert error_code(answer) == "VAL_RELEASE_INVALID"
    assert example in answer[1]["error"]["next_step"]
    assert "pattern" not in answer[1]["error"]["what"]
