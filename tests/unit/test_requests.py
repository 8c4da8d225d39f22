"""Request ids: one per command, run and tick; in every entry that is written meanwhile, and in none that is written after."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.core.actor import SYSTEM
from stella_pipelines.core.identifiers import check_identifier
from stella_pipelines.core.requests import current_request, new_request, request
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audit_search import Asked, page
from stella_pipelines.store.database import Store

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
ESTATE = "environments: {%s: {gates: none}}\n"


def enter(store: Store, number: int, **more: str) -> None:
    with store.writing() as tx:
        audit.record(tx, entry_id=f"aud_{number}", at=NOW, actor=SYSTEM, action="x", subject="x", **more)


def test_what_is_entered_meanwhile_has_the_request(store: Store) -> None:
    enter(store, 1)
    with request("req_1"):
        enter(store, 2)
        enter(store, 3, request_id="given")
        with request("req_2"):
            enter(store, 4)
        enter(store, 5)
    enter(store, 6)
    with store.reading() as tx:
        assert [entry.request_id for entry in page(tx, Asked())[0][::-1]] == [None, "req_1", "given", "req_2", "req_1", None]
        assert [entry.id for entry in page(tx, Asked(request="req_1"))[0]] == ["aud_5", "aud_2"]


def test_it_ends_with_its_block_whatever_happens() -> None:
    with pytest.raises(RuntimeError), request("req_1"):
        raise RuntimeError
    assert current_request() is None


def test_tasks_inherit_it_and_keep_their_own() -> None:
    async def part(own: str | None) -> str | None:
        if own is None:
            return current_request()
        with request(own):
            await asyncio.sleep(0)
            return current_request()

    async def work() -> list[str | None]:
        return await asyncio.gather(part(None), part("req_2"), part("req_3"))

    with request("req_1"):
        assert asyncio.run(work()) == ["req_1", "req_2", "req_3"]


def test_a_new_one_is_an_identifier_of_its_own() -> None:
    assert check_identifier(new_request(), "req") != new_request()


def test_a_command_is_one_request_and_the_next_command_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STELLA_DATABASE_URL", raising=False)
    for name in ("dev", "prod"):
        (tmp_path / "estate.yaml").write_text(ESTATE % name)
        assert run(["apply", "-f", str(tmp_path / "estate.yaml"), "--as", "alice"]) is Exit.DONE
    capsys.readouterr()
    assert run(["audit", "list", "--subject", "estate", "--json"]) is Exit.DONE
    second, first = json.loads(capsys.readouterr().out)
    assert check_identifier(first["request_id"], "req") != check_identifier(second["request_id"], "req")
    assert run(["audit", "list", "--request", first["request_id"], "--json"]) is Exit.DONE
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)] == [first["id"]]
