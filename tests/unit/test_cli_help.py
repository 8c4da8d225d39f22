"""The help that `stella` prints: every parameter explained, no noise, exit codes one by one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer.main
from rich.console import Console

from stella_pipelines.cli.app import app, run
from stella_pipelines.cli.exits import MEANINGS, Exit
from stella_pipelines.cli.output import Output, ago


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) or "stella" for path, _ in ALL])
def test_every_parameter_is_explained(path: tuple[str, ...], command: Any) -> None:
    assert command.help
    assert [parameter.name for parameter in command.params if len((parameter.help or "").split()) < 2] == []


@pytest.mark.parametrize("path", [path for path, _ in ALL], ids=lambda path: " ".join(path) or "stella")
def test_no_flag_shows_a_type(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*path, "--help"]) is Exit.DONE
    said = capsys.readouterr().out
    assert "Usage: stella" in said
    assert "<bool>" not in said


def test_each_exit_code_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run(["--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if any(line == f"{int(code)}  {meaning}" for code, meaning in MEANINGS.items())] == [
        f"{int(code)}  {meaning}" for code, meaning in MEANINGS.items()
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(-3, "0 s ago"), (59, "59 s ago"), (60, "1 min ago"), (3599, "59 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_an_age_in_the_largest_unit_that_fits(seconds: int, said: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert ago(now - timedelta(seconds=seconds), now) == said


@pytest.mark.parametrize(("as_json", "terminal", "seen"), [(False, True, True), (True, True, False), (False, False, False)])
def test_progress_is_for_people_at_a_terminal(as_json: bool, terminal: bool, seen: bool) -> None:
    words = io.StringIO()
    output = Output(as_json=as_json, console=Console(file=words, force_terminal=terminal, width=100))
    with output.working("asking") as tell:
        tell("still asking")
    assert ("still asking" in words.getvalue()) is seen
    assert bool(words.getvalue()) is seen
