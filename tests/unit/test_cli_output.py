"""Ids and digests can be copied and searched: no line that a script reads is broken, and on a terminal no id is."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from stella_pipelines.cli.app import app, run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output

DIGEST = "sha256:" + "0123456789abcdef" * 4
PROSE = "a long reason in many words " * 8


def shown(*, terminal: bool, width: int = 80) -> str:
    text = io.StringIO()
    output = Output(console=Console(file=text, force_terminal=terminal, width=width, color_system=None))
    output.table(f"Retry of {DIGEST}", ("PACKET", "DIGEST", "WHY"), [("evd_" + "0" * 26, DIGEST, PROSE), ("evd_1", "–", "")], ids=("PACKET", "DIGEST"))
    output.say(f"{PROSE} {DIGEST} {PROSE}")
    return text.getvalue()


def test_without_a_terminal_nothing_is_wrapped_or_padded() -> None:
    lines = shown(terminal=False).splitlines()
    assert len(lines) == 5
    assert [line for line in lines if line != line.rstrip() and not line.endswith(PROSE)] == []
    assert f"evd_{'0' * 26}  {DIGEST}  {PROSE.rstrip()}" in lines
    assert lines[4].startswith(f"{PROSE} {DIGEST}")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_on_a_terminal_an_id_is_never_broken(width: int) -> None:
    said = shown(terminal=True, width=width)
    assert "evd_" + "0" * 26 in said
    assert said.count(DIGEST) >= 2  # the title and the cell
    assert (PROSE.rstrip() in said) is (width < len(DIGEST))  # prose folds where the id beside it has room


def test_the_version_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) is Exit.DONE
    package = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"stella {package}\n"


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("promote", ["--to"]),
        ("plan", ["--to"]),
        ("reject", ["--reason"]),
        ("release deprecate", ["--reason"]),
        ("audit witness-request", ["--old"]),
        ("take-over", ["--reason"]),
    ],
)
def test_help_marks_what_must_be_given(command: str, options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert app.info.name == "stella"
    assert run([*command.split(), "--help"]) is Exit.DONE
    said = capsys.readouterr().out
    for option in options:
        line = next(line for line in said.splitlines() if option in line and "Usage" not in line)
        assert "required" in line
