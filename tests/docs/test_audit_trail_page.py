"""docs/audit-trail.md: its commands run, its example has the fields of an entry, and its lists are those of the code."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.core.requests import new_request, request
from stella_pipelines.evidence.audit import AuditEntry
from stella_pipelines.evidence.every_table import AUDITED, MACHINERY, RECORDS
from stella_pipelines.store.database import Store
from tests.support.audited_story import PARTS
from tests.support.databases import Databases

PAGE = Path(__file__).parents[2] / "docs" / "audit-trail.md"
REQUEST = re.compile(r"req_\w{26}")


def test_every_command_runs_and_finds_something(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 7
    with databases.fresh("sqlite") as url:
        monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("STELLA_DATABASE_URL", url)
        store, part_of = Store.open(url), new_request()
        with request(part_of):
            PARTS["promotions"](store)
        store.close()
        for command in commands:
            words = shlex.split(REQUEST.sub(part_of, command), comments=True)
            assert run(["--json", *(word for word in words[1:] if word != "--json")]) is Exit.DONE
            assert json.loads(capsys.readouterr().out), command


def test_the_example_is_an_entry() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    entry = AuditEntry.model_validate_json(example)
    assert json.loads(example) == entry.document()
    assert list(json.loads(example)) == sorted(AuditEntry.model_fields)


def test_the_lists_of_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    wanted = [f"| `{name}` | `{kind.subject}` |" for name, kind in AUDITED.items()]
    wanted += [f"| `{name}` | {kind.sealed_by} |" for name, kind in RECORDS.items()]
    wanted += [f"| `{name}` | {kind.reason} |" for name, kind in MACHINERY.items()]
    rows = [line for line in page.splitlines() if re.match(r"\| `[a-z_]+` \| ", line) and line in wanted]
    assert rows == wanted


def test_the_code_of_the_command_is_the_one_on_the_page() -> None:
    assert f"ends with code {int(Exit.FAILED)} if there is any" in PAGE.read_text()
