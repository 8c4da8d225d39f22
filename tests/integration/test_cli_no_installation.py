"""Only a command that begins an installation may create one: in the wrong folder every other command refuses and leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from stella_pipelines.cli.exits import Exit
from tests.support.command_line import Speaking, Stella, error_code
from tests.support.databases import Databases

READING = [
    ("status",),
    ("status", "prod"),
    ("plan", "shop-1.0.0", "--to", "prod"),
    ("logs", "prod"),
    ("audit", "list"),
    ("evidence", "list"),
    ("evidence", "show", "evd_1"),
    ("evidence", "replay", "evd_1"),
    ("evidence", "replay", "--all"),
    ("release", "list"),
    ("release", "show", "shop-1.0.0"),
    ("release", "finalize", "shop-1.0.0"),
    ("diff", "-f", "examples/estate.yaml"),
    ("promote", "shop-1.0.0", "--to", "prod"),
    ("approve", "prod"),
    ("reject", "prod", "--reason", "no"),
    ("cancel", "prod"),
    ("retry", "prod"),
    ("rollback", "prod"),
    ("take-over", "prod-1", "--reason", "restored"),
]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """A home in which nothing is, with the database in it."""
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "wrong" / ".stella"))
    monkeypatch.delenv("STELLA_DATABASE_URL")
    return tmp_path / "wrong"


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_without_an_installation_a_command_refuses_and_creates_nothing(stella: Stella, elsewhere: Path, words: tuple[str, ...]) -> None:
    answer = stella(*words)
    assert error_code(answer) == "SYS_NO_INSTALLATION"
    assert answer[0] is Exit.REFUSED
    assert str(elsewhere / ".stella") in answer[1]["error"]["what"]
    assert "stella apply -f estate.yaml" in answer[1]["error"]["next_step"]
    assert "STELLA_HOME" in answer[1]["error"]["next_step"]
    assert not elsewhere.exists()


def test_apply_begins_an_installation(stella: Stella, elsewhere: Path) -> None:
    assert stella("apply", "-f", "examples/estate.yaml")[0] is Exit.DONE
    assert (elsewhere / ".stella" / "keys" / "evidence.pem").is_file()
    assert stella("status")[0] is Exit.DONE


def test_a_database_elsewhere_needs_nothing_in_the_home_and_reading_puts_nothing_there(speaking: Speaking, home: Path) -> None:
    said = speaking("status")
    assert said.code is Exit.DONE
    assert "No estate yet" in said.out
    assert not home.exists()


def test_a_database_without_our_tables_is_no_installation(
    stella: Stella, home: Path, databases: Databases, database_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with databases.fresh(database_kind, migrated=False) as url:
        monkeypatch.setenv("STELLA_DATABASE_URL", url)
        answer = stella("status")
    assert error_code(answer) == "SYS_NO_INSTALLATION"
    assert not home.exists()


def test_nobody_is_no_name(stella: Stella, speaking: Speaking, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "  "):
        assert error_code(stella("apply", "-f", "examples/estate.yaml", "--as", name)) == "AUTH_ACTOR_INVALID"
        assert error_code(stella("--as", name, "apply", "-f", "examples/estate.yaml")) == "AUTH_ACTOR_INVALID"
    monkeypatch.setenv("STELLA_ACTOR", "")
    assert stella("apply", "-f", "examples/estate.yaml")[0] is Exit.DONE


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("apply", "-f", "x"), "VAL_ESTATE_UNREADABLE"),
        (("evidence", "verify", "x", "--key", "y"), "EVID_FILE_UNREADABLE"),
        (("release", "report", "shop-1.0.0", "x"), "VAL_REPORT_UNREADABLE"),
    ],
)
def test_a_missing_file_is_one_clear_sentence(stella: Stella, home: Path, words: tuple[str, ...], code: str) -> None:
    answer = stella(*words)
    assert error_code(answer) == code
    assert answer[1]["error"]["what"] == "x cannot be read: No such file or directory."
