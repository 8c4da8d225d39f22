"""`stella key …`, and verifying with a key history, as a person does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.cli.exits import Exit
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.keys.history import read_history
from stella_pipelines.evidence.keys.service import Keys
from stella_pipelines.evidence.keys.signing import new_private_key, private_pem
from stella_pipelines.lab.lab import Lab
from stella_pipelines.store.errors import UNKNOWN_OUTCOME, DatabaseUnreachable
from tests.support.command_line import Speaking, Stella, carried_out, error_code


def sealed(stella: Stella, tmp_path: Path, number: int) -> Path:
    """One more decision, as a file."""
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait", "--reason", f"no. {number}")[1]["id"])
    newest = next(one for one in stella("evidence", "list", "--environment", "dev")[1] if one["kind"] == "decision")
    file = tmp_path / f"packet-{number}.json"
    assert stella("evidence", "show", newest["id"], "--raw", str(file))[0] is Exit.DONE
    return file


def ids(stella: Stella) -> list[str]:
    return [one["key_id"] for one in stella("key", "list")[1]]


def test_rotation_keeps_old_packets_verifiable(stella: Stella, speaking: Speaking, applied: Lab, home: Path, tmp_path: Path) -> None:
    files = [sealed(stella, tmp_path, 1)]
    first_public = tmp_path / "first.pub"
    first_public.write_bytes((home / "keys" / "evidence.pub").read_bytes())
    code, event = stella("key", "rotate", "--algorithm", "ecdsa-p256", "--reason", "yearly", "--as", "alice")
    assert (code, event["algorithm"]) == (Exit.DONE, "ecdsa-p256")
    files.append(sealed(stella, tmp_path, 2))
    old, new = ids(stella)
    assert new == event["key_id"]
    assert (home / "keys" / "retired" / f"{old}.pem").stat().st_mode & 0o777 == 0o600
    oldest = stella("evidence", "list", "--environment", "dev")[1][-1]["id"]
    assert "--keys keys.json" in speaking("evidence", "show", oldest, "--raw", str(tmp_path / "again.json")).out
    keys = str(tmp_path / "keys.json")
    assert stella("key", "export", keys)[1]["keys"] == [old, new]
    for trust in (["--keys", keys], ["--keys", keys, "--key", str(first_public)]):
        assert [stella("evidence", "verify", str(file), *trust)[1]["key_id"] for file in files] == [old, new]
    assert error_code(stella("evidence", "verify", str(files[1]), "--key", str(first_public))) == "EVID_KEY_UNKNOWN"
    assert "yearly" in speaking("audit", "list").out
    assert "retired" in speaking("key", "list").out
    assert "vouched for by" in speaking("key", "show", new[:12]).out


def test_a_revoked_key_is_named_and_what_the_log_has_stays_verifiable(stella: Stella, applied: Lab, tmp_path: Path) -> None:
    file = sealed(stella, tmp_path, 1)
    packet = json.loads(file.read_text())
    stella("key", "rotate", "--reason", "laptop stolen")
    old, _ = ids(stella)
    code, event = stella("key", "revoke", old[:16], "--reason", "laptop stolen")
    assert (code, event["key_id"], event["trusted_size"] > 0) == (Exit.DONE, old, True)
    keys = str(tmp_path / "keys.json")
    stella("key", "export", keys)
    code, document = stella("evidence", "verify", str(file), "--keys", keys)
    assert error_code((code, document)) == "EVID_KEY_REVOKED"
    assert all(word in document["error"]["what"] for word in (old, "laptop stolen", event["at"]))
    decision = next(one for one in stella("evidence", "list", "--environment", "dev")[1] if one["kind"] == "decision")
    proof = str(tmp_path / "packet.proof")
    assert stella("audit", "prove", decision["id"], "--output", proof)[0] is Exit.DONE
    assert stella("evidence", "verify", str(file), "--keys", keys, "--proof", proof)[1]["key_id"] == old
    assert stella("evidence", "show", decision["id"])[0] is Exit.DONE
    assert packet["signatures"][0]["keyid"] == old


def test_what_cannot_be_is_refused(stella: Stella, applied: Lab, tmp_path: Path) -> None:
    file = str(sealed(stella, tmp_path, 1))
    (only,) = ids(stella)
    assert error_code(stella("key", "revoke", only, "--reason", "x")) == "EVID_KEY_CHANGE_REFUSED"
    assert error_code(stella("key", "revoke", "0000", "--reason", "x")) == "RES_KEY_MISSING"
    assert error_code(stella("key", "show", "")) == "RES_KEY_MISSING"
    assert error_code(stella("key", "rotate", "--to", "nowhere:1", "--reason", "x")) == "INT_SIGNING_REFERENCE_INVALID"
    assert error_code(stella("evidence", "verify", file)) == "VAL_NO_KEY_GIVEN"
    assert error_code(stella("evidence", "verify", file, "--keys", file)) == "EVID_KEY_HISTORY_INVALID"
    assert error_code(stella("key", "create", file)) == "VAL_KEY_FILE_EXISTS"
    (tmp_path / "taken.pub").write_text("somebody's own")
    assert error_code(stella("key", "create", str(tmp_path / "taken.pem"))) == "VAL_KEY_FILE_EXISTS"
    assert (tmp_path / "taken.pub").read_text() == "somebody's own"
    assert ids(stella) == [only]


def test_a_key_elsewhere_takes_over_and_the_old_setting_seals_nothing(stella: Stella, applied: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(stella, tmp_path, 1)
    made = stella("key", "create", str(tmp_path / "keys" / "next.pem"), "--algorithm", "ecdsa-p256")[1]
    assert stella("key", "rotate", "--to", made["reference"], "--reason", "moved")[1]["key_id"] == made["key_id"]
    refused = stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")
    with pytest.raises(Exception, match="EVID_KEY_NOT_IN_FORCE"):
        carried_out(refused[1]["id"])
    monkeypatch.setenv("STELLA_SIGNING_KEY", made["reference"])
    assert carried_out(refused[1]["id"]) == "deployed"
    pem = private_pem(new_private_key("ed25519")).decode()
    monkeypatch.setenv("NEXT_KEY", pem)
    assert stella("key", "rotate", "--to", "env:NEXT_KEY", "--reason", "moved again")[0] is Exit.DONE
    monkeypatch.setenv("STELLA_SIGNING_KEY", "env:NEXT_KEY")
    assert sealed(stella, tmp_path, 2).exists()
    assert error_code(stella("key", "rotate", "--reason", "here")) == "EVID_KEY_CHANGE_REFUSED"
    assert [one["algorithm"] for one in stella("key", "list")[1]] == ["ed25519", "ecdsa-p256", "ed25519"]


def test_a_lost_key_is_replaced_and_the_break_is_told(stella: Stella, speaking: Speaking, applied: Lab, home: Path, tmp_path: Path) -> None:
    file = sealed(stella, tmp_path, 1)
    public = tmp_path / "first.pub"
    public.write_bytes((home / "keys" / "evidence.pub").read_bytes())
    (home / "keys" / "evidence.pem").unlink()
    stella("evidence", "list")
    assert stella("key", "rotate", "--lost", "--reason", "disk died")[0] is Exit.DONE
    keys = tmp_path / "keys.json"
    stella("key", "export", str(keys))
    assert read_history(keys.read_bytes()).records[-1].vouched_by is None
    assert "was lost" in speaking("key", "show", ids(stella)[1]).out
    second = sealed(stella, tmp_path, 2)
    assert stella("evidence", "verify", str(file), "--keys", str(keys), "--key", str(public))[0] is Exit.DONE
    assert error_code(stella("evidence", "verify", str(second), "--keys", str(keys), "--key", str(public))) == "EVID_KEY_UNKNOWN"
    assert stella("evidence", "verify", str(second), "--keys", str(keys))[0] is Exit.DONE


def test_a_key_whose_commit_has_an_unknown_end_is_kept(stella: Stella, applied: Lab, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks after the database has the rotation, and before it says so."""
    sealed(stella, tmp_path, 1)
    rotate = Keys.rotate

    def cut(*given: Any, **named: Any) -> None:
        rotate(*given, **named)
        raise DatabaseUnreachable("The connection broke.", unchanged=UNKNOWN_OUTCOME, next_step="Try again.")

    with monkeypatch.context() as cutting:
        cutting.setattr(Keys, "rotate", cut)
        assert error_code(stella("key", "rotate", "--reason", "yearly")) == "SYS_DATABASE_UNREACHABLE"
    sealed(stella, tmp_path, 2)
    assert FileKey.load(home / "keys" / "evidence.pem").key_id == ids(stella)[1]


def test_a_crash_after_the_rotation_was_written_loses_no_key(stella: Stella, applied: Lab, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(stella, tmp_path, 1)

    def crash(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as crashing:
        crashing.setattr("stella_pipelines.cli.keys.take_place", crash)
        with pytest.raises(ZeroDivisionError):
            stella("key", "rotate", "--reason", "yearly")
    assert FileKey.load(home / "keys" / "evidence.pem").key_id != ids(stella)[1]
    sealed(stella, tmp_path, 2)
    assert FileKey.load(home / "keys" / "evidence.pem").key_id == ids(stella)[1]
