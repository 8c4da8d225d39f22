"""docs/replay.md tells a true story: its estates, its commands and what they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import ROOT, Shell
from tests.support.past import ADA, decide, installation, release

PAGE = (ROOT / "docs" / "replay.md").read_text()


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def as_on_the_page(said: str) -> str:
    """Ids and times differ from run to run."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "…", re.sub(r"evd_[0-9a-z]{26}", "evd_…", said))


def test_the_example_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STELLA_DATABASE_URL", raising=False)
    applied, stricter, scanned = fenced("yaml")
    with installation(applied) as plane:
        for version, commit in (("1.0.0", None), ("1.1.0", "5e1f0c3")):
            record = release(plane, version, commit)
            decide(plane, record, "dev")
            decide(plane, record, "prod", ADA)
    shell = Shell(tmp_path / "work", tmp_path / "home")
    (shell.folder / "stricter.yaml").write_text(stricter)
    (shell.folder / "scanned.yaml").write_text(scanned)
    commands, expected = fenced("sh"), fenced("text")
    assert len(commands) == len(expected) == 3
    for command, code, said in zip(commands, (0, 3, 3), expected, strict=True):
        assert as_on_the_page(shell.run(f"code=0; {command.strip()} || code=$?; [ $code = {code} ]")) == said
