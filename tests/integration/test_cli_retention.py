"""`stella evidence hold` and `stella evidence purge` as people and scripts use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.retention import size_in_words
from stella_pipelines.core.actor import Actor
from stella_pipelines.evidence.retention.holds import could_be_one
from tests.support.command_line import Speaking, Stella, error_code
from tests.support.old_installation import grown_old


@pytest.fixture
def decisions(home: Path) -> list[str]:
    """Two decisions of long ago."""
    return grown_old()


def hold(stella: Stella, *words: str) -> dict[str, Any]:
    code, document = stella("evidence", "hold", "add", "--reason", "a court asked", "--as", "ada", *words)
    assert code is Exit.DONE, document
    found: dict[str, Any] = document
    return found


def planned(stella: Stella, *words: str) -> dict[str, Any]:
    code, document = stella("evidence", "purge", "--dry-run", *words)
    assert code is Exit.DONE, document
    found: dict[str, Any] = document
    return found


def test_from_the_dry_run_to_the_purge_to_the_proof(stella: Stella, speaking: Speaking, decisions: list[str], home: Path, tmp_path: Path) -> None:
    said = speaking("evidence", "purge", "--dry-run")
    plan = planned(stella)
    assert plan["digest"] in said.out
    assert plan["packets"] == 6
    assert "environment/dev: decision" in said.out
    code, report = stella("evidence", "purge", "--plan", plan["digest"], "--reason", "the contract ended", "--yes", "--as", "ada")
    assert code is Exit.DONE, report
    assert (report["packets"], report["plan"]) == (6, plan["digest"])
    told = report["purge_packets"][0]

    assert error_code(stella("evidence", "show", decisions[0])) == "EVID_PURGED"
    refused = speaking("evidence", "show", decisions[0])
    assert told in refused.err
    assert "by ada" in refused.err
    for words in (("replay", decisions[0]), ("bundle", decisions[0], str(tmp_path / "bundle"))):
        assert error_code(stella("evidence", *words)) == "EVID_PURGED"
    assert stella("evidence", "show", told)[1]["statement"]["predicate"]["purge"]["packets"] == 6
    assert {packet["kind"] for packet in stella("evidence", "list")[1]} == {"purge"}
    assert stella("audit", "prove", decisions[0])[0] is Exit.DONE
    assert stella("evidence", "replay", "--all")[0] is Exit.DONE, "there is nothing to replay, and nothing crashes"
    assert stella("evidence", "export", "--all", "--output", str(tmp_path / "all.zip"))[0] is Exit.DONE
    key = str(home / "keys" / "evidence.pub")
    assert stella("evidence", "verify-export", str(tmp_path / "all.zip"), "--key", key)[0] is Exit.DONE
    verified = speaking("audit", "verify")
    assert verified.code is Exit.DONE, verified.out
    assert "6 packets were purged" in verified.out
    assert stella("audit", "verify")[1]["purged"] == 6


def test_a_hold_is_placed_listed_and_lifted_by_another_person(stella: Stella, speaking: Speaking, decisions: list[str]) -> None:
    held = hold(stella, "--environment", "dev")
    assert planned(stella)["packets"] == 0
    assert "environment dev" in speaking("evidence", "purge", "--dry-run").out
    assert "a court asked" in speaking("evidence", "hold", "list").out
    assert error_code(stella("evidence", "hold", "lift", held["id"], "--reason", "mine", "--as", "ada")) == "PERM_HOLD_LIFT"
    assert error_code(stella("evidence", "hold", "lift", held["id"], "--reason", "mine", "--as", "ADA@example.test")) == "PERM_HOLD_LIFT"
    assert error_code(stella("evidence", "hold", "lift", held["id"], "--reason", " ", "--as", "bob")) == "VAL_REASON_MISSING"
    assert planned(stella)["packets"] == 0
    assert stella("evidence", "hold", "lift", held["id"], "--reason", "settled", "--as", "bob")[0] is Exit.DONE
    assert error_code(stella("evidence", "hold", "lift", held["id"], "--reason", "again", "--as", "bob")) == "PERM_HOLD_LIFT"
    assert stella("evidence", "hold", "list")[1] == []
    (document,) = stella("evidence", "hold", "list", "--all")[1]
    assert (document["in_force"], document["lifted"]["by"]["name"]) == (False, "bob")
    assert planned(stella)["packets"] == 6
    entries = stella("audit", "list", "--subject", f"hold/{held['id']}")[1]
    assert [entry["action"] for entry in entries] == ["hold.lift", "hold.place"]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--release", "shop-1.0.0"), 3),
        (("--everything",), 6),
        (("--since", "2015-03-02"), 3),
        (("--until", "2015-03-02"), 3),
        (("--since", "2015-01-01", "--until", "2015-02-01"), 0),
        (("--digest", f"sha256:{'0' * 64}"), 0),
    ],
)
def test_what_a_hold_covers_stays(stella: Stella, decisions: list[str], words: tuple[str, ...], kept: int) -> None:
    hold(stella, *words)
    plan = planned(stella)
    assert (plan["held"], plan["packets"]) == (kept, 6 - kept)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("purge", "--yes"), "VAL_REASON_MISSING"),
        (("purge", "--reason", "x"), "VAL_PURGE_UNCONFIRMED"),
        (("purge", "--reason", "x", "--yes", "--plan", f"sha256:{'0' * 64}"), "EVID_PURGE_PLAN_CHANGED"),
        (("purge", "--reason", "x", "--yes", "--plan", "sha256:xyz"), "VAL_DIGEST_INVALID"),
        (("purge", "--dry-run", "--before", "2999-01-01"), "EVID_RETENTION_NOT_OVER"),
        (("purge", "--dry-run", "--before", "yesterday"), "VAL_MOMENT"),
        (("hold", "add", "--reason", "x"), "VAL_HOLD_SCOPE"),
        (("hold", "add", "--reason", "x", "--everything", "--environment", "dev"), "VAL_HOLD_SCOPE"),
        (("hold", "add", "--reason", "x", "--since", "2016-01-01", "--until", "2015-01-01"), "VAL_HOLD_SCOPE"),
        (("hold", "add", "--reason", "", "--everything"), "VAL_REASON_MISSING"),
        (("hold", "add", "--reason", "x", "--digest", "abc"), "VAL_DIGEST_INVALID"),
        (("hold", "add", "--reason", "x", "--environment", "nowhere"), "PROM_ENVIRONMENT_UNKNOWN"),
        (("hold", "lift", "lgh_none", "--reason", "x"), "RES_HOLD_MISSING"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_changed(stella: Stella, decisions: list[str], words: tuple[str, ...], code: str) -> None:
    before = planned(stella)
    assert error_code(stella("evidence", *words)) == code
    assert planned(stella) == before
    assert stella("evidence", "hold", "list", "--all")[1] == []


def test_for_ever_purges_nothing(stella: Stella, decisions: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLA_EVIDENCE_RETENTION_DAYS", "0")
    assert error_code(stella("evidence", "purge", "--dry-run")) == "EVID_RETENTION_FOR_EVER"
    monkeypatch.setenv("STELLA_EVIDENCE_RETENTION_DAYS", "seven years")
    assert error_code(stella("evidence", "purge", "--dry-run")) == "SYS_SETTING_INVALID"


def test_names_that_could_be_one_person() -> None:
    assert could_be_one("ada", "Ada")
    assert could_be_one("ada", "ada@example.test")
    assert not could_be_one("ada@example.test", "ada@other.test")
    assert not could_be_one("ada", Actor(name="grace", via="test").name)


def test_sizes_in_words() -> None:
    assert [size_in_words(count) for count in (0, 999, 1_500, 2_000_000, 3_100_000_000, 10**13)] == ["0 B", "999 B", "1.5 kB", "2.0 MB", "3.1 GB", "10.0 TB"]
