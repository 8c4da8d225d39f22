"""The commands of docs/log.md work as typed, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from stella_pipelines.lab.lab import Lab
from tests.support.command_line import carried_out
from tests.support.pages import Shell, blocks


def test_the_commands_of_the_page_work_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
    shell = Shell(tmp_path / "work", tmp_path / "home")
    with Lab("embedded", tmp_path / "lab") as lab:
        shell.run(f"stella apply -f {lab.estate_path}\nstella release create shop 1.0.0 web={lab.images['v1']}")
        promotion = shell.run("stella --json promote shop-1.0.0 --to dev --no-wait | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"id\"])'")
        carried_out(promotion.strip())
    first, later, packet, witness = blocks("log.md")
    assert "Written to kept.txt" in shell.run(first)
    said = shell.run(later)
    assert "consistent" in said
    assert "complete" in said
    assert "stands in the log" in shell.run(packet)
    assert "— witness.example " in shell.run(witness)
