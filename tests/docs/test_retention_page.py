"""The commands of docs/retention.md work as typed, one after the other, and its tables name what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stella_pipelines.core.settings import EVIDENCE_RETENTION_DAYS, EVIDENCE_RETENTION_VARIABLE
from stella_pipelines.evidence.retention.rules import WORDS
from stella_pipelines.evidence.retention.selecting import PAGE as BATCH
from tests.support.old_installation import grown_old
from tests.support.pages import ROOT, Shell, blocks

PAGE = (ROOT / "docs" / "retention.md").read_text()


def test_the_commands_of_the_page_work_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STELLA_DATABASE_URL", raising=False)
    grown_old()
    shell = Shell(tmp_path / "work", tmp_path / "home")
    plan, holds, purge, told = blocks("retention.md")
    assert "6 packets of" in shell.run(plan)
    said = shell.run(holds)
    assert "case 4711" in said
    assert "lifted" in said
    said = shell.run(purge)
    assert "purged" in said
    assert "complete" in said
    assert "6 packets were purged" in said
    assert "retention is over" in shell.run(told)


def test_the_numbers_and_words_of_the_page_are_those_of_the_code() -> None:
    assert f"{EVIDENCE_RETENTION_DAYS:,} days" in PAGE
    assert EVIDENCE_RETENTION_VARIABLE in PAGE
    assert f"batches of {BATCH}" in PAGE
    shown = re.findall(r"\| `([^`|]+)`[^|]*\|$", PAGE, re.MULTILINE)
    for reason in ("held", "needed", "damaged", "unlogged", "purge"):
        assert any(words in WORDS[reason] for words in shown), reason
