"""The README opens with the two commands, and every command that it shows exists."""

import re
from pathlib import Path

import typer.main

from stella_pipelines.cli.app import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_it_opens_with_the_demo_and_the_tests() -> None:
    first_block = README.split("```sh\n", 1)[1].split("```", 1)[0]
    assert [line.split("#")[0].split()[:2] for line in first_block.splitlines()] == [["make", "demo"], ["make", "test"]]


def test_every_make_target_that_it_names_exists() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert named
    assert named <= set(TARGETS)


def test_every_command_that_it_shows_exists() -> None:
    root = typer.main.get_command(app)
    shown = re.findall(r"(?:^|[$`])\s?stella ([a-z]+)(?: ([a-z]+))?", README, re.MULTILINE)
    assert len(shown) > 10
    for noun, verb in shown:
        command = root.commands[noun]
        assert not hasattr(command, "commands") or verb in command.commands, f"stella {noun} {verb}"


def test_ci_calls_the_test_command_of_the_readme() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
