"""An installation of its own with an embedded lab, for the tests of the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Said, Speaking, Stella


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own, on either database."""
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STELLA_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("STELLA_ACTOR", raising=False)
    return tmp_path / "home"


@pytest.fixture
def stella(home: Path, capsys: pytest.CaptureFixture[str]) -> Stella:
    """Run one command line with --json; gives its exit code and its document."""

    def call(*words: str) -> tuple[Exit, Any]:
        capsys.readouterr()
        code = run(["--json", *words])
        said = capsys.readouterr().out
        return code, json.loads(said) if said.strip() else None

    return call


@pytest.fixture
def speaking(home: Path, capsys: pytest.CaptureFixture[str]) -> Speaking:
    """Run one command line as a person does; gives what is said."""

    def call(*words: str) -> Said:
        capsys.readouterr()
        code = run(list(words))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def applied(stella: Stella, tmp_path: Path) -> Iterator[Lab]:
    """An embedded lab of its own (it stands in 20 ms), its estate applied, and release shop-1.0.0."""
    with Lab("embedded", tmp_path / "lab") as lab:
        assert stella("apply", "-f", str(lab.estate_path), "--as", "alice")[0] is Exit.DONE
        assert stella("release", "create", "shop", "1.0.0", f"web={lab.images['v1']}", "--commit", "5e1f0c3")[0] is Exit.DONE
        yield lab
