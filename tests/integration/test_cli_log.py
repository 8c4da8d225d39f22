"""The log as an auditor uses it: checkpoints that he keeps, proofs that he checks, and witnesses who vouch for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from stella_pipelines.cli.exits import Exit
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.log.checkpoints import read_checkpoint
from stella_pipelines.evidence.log.note_keys import log_key, read_vkey
from stella_pipelines.evidence.merkle import verify_consistency
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Speaking, Stella, carried_out, error_code
from tests.support.intrusion import without_guards


@pytest.fixture
def packets(stella: Stella, applied: Lab) -> list[dict[str, Any]]:
    """A release that arrived in dev."""
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    found: list[dict[str, Any]] = stella("evidence", "list")[1]
    return found


def checkpoint(stella: Stella, file: Path) -> dict[str, Any]:
    code, document = stella("audit", "checkpoint", "--output", str(file))
    assert code is Exit.DONE
    found: dict[str, Any] = document
    return found


def test_a_checkpoint_is_a_note_that_the_logs_own_key_signed(stella: Stella, speaking: Speaking, packets: list[dict[str, Any]], tmp_path: Path) -> None:
    found = checkpoint(stella, tmp_path / "kept.txt")
    (vkey,) = stella("audit", "log-key")[1]
    key = read_vkey(vkey)
    verified = read_checkpoint((tmp_path / "kept.txt").read_bytes(), origin=key.name, log_keys=[key])
    assert (verified.checkpoint.size, verified.checkpoint.root.hex()) == (found["size"], found["root"])
    assert speaking("audit", "checkpoint").out.splitlines()[:2] == [key.name, str(found["size"])]
    assert next(one["size"] for one in stella("audit", "checkpoints")[1]) == found["size"]
    assert "evidence" not in speaking("audit", "log-key").out


def test_a_proof_goes_with_its_packet_and_with_no_other(stella: Stella, speaking: Speaking, packets: list[dict[str, Any]], home: Path, tmp_path: Path) -> None:
    key = str(home / "keys" / "evidence.pub")
    for number, packet in enumerate(packets[:2]):
        assert stella("evidence", "show", packet["id"], "--raw", str(tmp_path / f"{number}.json"))[0] is Exit.DONE
        assert stella("audit", "prove", packet["id"], "--output", str(tmp_path / f"{number}.tlog-proof"))[0] is Exit.DONE
    said = speaking("evidence", "verify", str(tmp_path / "0.json"), "--key", key, "--proof", str(tmp_path / "0.tlog-proof"))
    assert said.code is Exit.DONE
    assert "stands in the log" in said.out
    assert error_code(stella("evidence", "verify", str(tmp_path / "0.json"), "--key", key, "--proof", str(tmp_path / "1.tlog-proof"))) == "EVID_PROOF_INVALID"
    cut = tmp_path / "cut.tlog-proof"
    cut.write_bytes((tmp_path / "0.tlog-proof").read_bytes()[:-20])
    assert error_code(stella("evidence", "verify", str(tmp_path / "0.json"), "--key", key, "--proof", str(cut))) == "EVID_CHECKPOINT_INVALID"
    assert error_code(stella("audit", "prove", "evd_nothing")) == "RES_LOG_ENTRY_MISSING"


def test_the_log_of_today_continues_the_checkpoint_of_yesterday(stella: Stella, speaking: Speaking, packets: list[dict[str, Any]], tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    old = checkpoint(stella, kept)
    carried_out(stella("promote", "shop-1.0.0", "--to", "prod", "--no-wait")[1]["id"])
    found = stella("audit", "compare", str(kept))[1]
    new = stella("audit", "checkpoint")[1]
    assert (found["old_size"], found["new_size"]) == (old["size"], new["size"])
    verify_consistency(old["size"], new["size"], [bytes.fromhex(one) for one in found["proof"]], bytes.fromhex(old["root"]), bytes.fromhex(new["root"]))
    code, report = stella("audit", "verify", "--from", str(kept))
    assert (code, report["problems"], report["first"], report["size"]) == (Exit.DONE, [], old["size"], new["size"])
    said = speaking("audit", "verify")
    assert said.code is Exit.DONE
    assert "complete" in said.out
    assert "environment/dev: up to no. 2" in said.out


def test_an_edited_audit_entry_is_named_and_the_exit_code_says_so(stella: Stella, speaking: Speaking, packets: list[dict[str, Any]]) -> None:
    assert stella("audit", "verify")[0] is Exit.DONE
    with open_control_plane(Settings.from_environ(os.environ)) as plane, plane.store.writing() as tx, without_guards(tx, ("audit_entries",)):
        tx.connection.execute(sa.text("UPDATE audit_entries SET actor_name = 'mallory' WHERE subject LIKE 'release/%'"))
    code, report = stella("audit", "verify")
    assert code is Exit.FAILED
    assert report["problem_count"] > 0
    assert "other contents than were logged" in speaking("audit", "verify").out


def test_a_checkpoint_that_the_log_did_not_sign_is_not_given_away(stella: Stella, packets: list[dict[str, Any]], tmp_path: Path) -> None:
    """Somebody who can add rows, and has no key, puts one behind the log's own."""
    stella("audit", "checkpoint")
    with open_control_plane(Settings.from_environ(os.environ)) as plane, plane.store.writing() as tx:
        tx.connection.execute(sa.text("INSERT INTO log_checkpoints SELECT 10000, root, root, frontier, at FROM log_checkpoints ORDER BY size DESC LIMIT 1"))
    for words in (["checkpoint", "--output", str(tmp_path / "kept")], ["prove", packets[0]["id"]], ["witness-request", "--old", "0"]):
        assert error_code(stella("audit", *words)) == "EVID_TREE_DAMAGED"
    assert not (tmp_path / "kept").exists()
    assert error_code(stella("audit", "verify")) == "EVID_CHECKPOINT_INVALID"
    with open_control_plane(Settings.from_environ(os.environ)) as plane, plane.store.writing() as tx, without_guards(tx, ("log_checkpoints",)):
        tx.connection.execute(sa.text("UPDATE log_checkpoints SET at = 'never' WHERE size = 10000"))
    assert error_code(stella("audit", "verify")) == "EVID_TREE_DAMAGED"


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b"\x00" * 100_000, b"[" * 70_000, b"a\n1\nAAAA\n\n\xe2\x80\x94 a AAAA\n"])
def test_what_is_no_checkpoint_is_refused(stella: Stella, packets: list[dict[str, Any]], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    for words in (("compare", str(tmp_path / "bad")), ("verify", "--from", str(tmp_path / "bad")), ("verify", "--to", str(tmp_path / "bad"))):
        assert error_code(stella("audit", *words)) == "EVID_CHECKPOINT_INVALID"
    assert error_code(stella("audit", "compare", str(tmp_path / "nowhere"))) == "EVID_FILE_UNREADABLE"


def test_a_witness_cosigns_a_log_that_grows_and_refuses_one_that_does_not(stella: Stella, packets: list[dict[str, Any]], tmp_path: Path) -> None:
    (vkey,) = stella("audit", "log-key")[1]
    witness = ("--log-key", vkey, "--name", "witness.example", "--key", str(tmp_path / "witness" / "key.pem"), "--state", str(tmp_path / "witness" / "seen"))
    first = stella("audit", "witness-request", "--old", "0", "--output", str(tmp_path / "first"))[1]
    code, said = stella("audit", "cosign", str(tmp_path / "first"), *witness, "--output", str(tmp_path / "line"))
    assert (code, said["size"]) == (Exit.DONE, first["size"])
    public = ("--witness-key", str(tmp_path / "witness" / "key.pub"), "--size", str(first["size"]))
    assert stella("audit", "cosigned", str(tmp_path / "line"), *public)[0] is Exit.DONE
    assert stella("audit", "cosigned", str(tmp_path / "line"), *public)[0] is Exit.DONE, "twice is once"
    assert stella("audit", "checkpoint", "--size", str(first["size"]))[1]["note"].count("— witness.example ") == 1

    carried_out(stella("promote", "shop-1.0.0", "--to", "prod", "--no-wait")[1]["id"])
    stella("audit", "witness-request", "--old", "0", "--output", str(tmp_path / "without-proof"))
    assert error_code(stella("audit", "cosign", str(tmp_path / "without-proof"), *witness)) == "EVID_PROOF_INVALID"
    stella("audit", "witness-request", "--old", str(first["size"]), "--output", str(tmp_path / "second"))
    assert stella("audit", "cosign", str(tmp_path / "second"), *witness)[0] is Exit.DONE
    assert error_code(stella("audit", "cosign", str(tmp_path / "first"), *witness)) == "EVID_CHECKPOINT_CONFLICTS", "it does not go back"


def test_a_key_that_was_kept_follows_a_rotation(stella: Stella, packets: list[dict[str, Any]], home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.pub"
    kept.write_bytes((home / "keys" / "evidence.pub").read_bytes())
    checkpoint(stella, tmp_path / "kept.txt")
    stella("key", "rotate", "--reason", "yearly")
    carried_out(stella("promote", "shop-1.0.0", "--to", "prod", "--no-wait")[1]["id"])
    code, report = stella("audit", "verify", "--key", str(kept), "--from", str(tmp_path / "kept.txt"))
    assert (code, report["problems"]) == (Exit.DONE, [])
    assert stella("audit", "compare", str(tmp_path / "kept.txt"), "--key", str(kept))[0] is Exit.DONE


def test_a_key_that_nobody_vouches_for_counts_only_without_a_kept_one(
    stella: Stella, speaking: Speaking, packets: list[dict[str, Any]], home: Path, tmp_path: Path
) -> None:
    """Whoever has the database can write that the key was lost and his own took its place: what he seals then is genuine to the installation alone."""
    kept = tmp_path / "kept.pub"
    kept.write_bytes((home / "keys" / "evidence.pub").read_bytes())
    checkpoint(stella, tmp_path / "kept.txt")
    stella("key", "rotate", "--lost", "--reason", "nobody lost anything")
    carried_out(stella("promote", "shop-1.0.0", "--to", "prod", "--no-wait")[1]["id"])
    assert stella("audit", "verify", "--from", str(tmp_path / "kept.txt"))[0] is Exit.DONE
    assert "give --key" in speaking("audit", "verify").out
    assert error_code(stella("audit", "verify", "--key", str(kept))) == "EVID_CHECKPOINT_UNSIGNED"
    assert error_code(stella("audit", "compare", str(tmp_path / "kept.txt"), "--key", str(kept))) == "EVID_CHECKPOINT_UNSIGNED"


def test_a_witness_goes_by_the_keys_of_one_log_and_not_by_revoked_ones(stella: Stella, packets: list[dict[str, Any]], tmp_path: Path) -> None:
    (old,) = stella("audit", "log-key")[1]
    stella("key", "rotate", "--reason", "stolen")
    lines = stella("audit", "log-key")[1]
    assert (len(lines), lines[0]) == (2, old)
    stella("audit", "witness-request", "--old", "0", "--output", str(tmp_path / "request"))
    witness = ("--name", "witness.example", "--key", str(tmp_path / "w" / "key.pem"), "--state", str(tmp_path / "seen"))
    assert stella("audit", "cosign", str(tmp_path / "request"), "--log-key", "\n".join(lines), *witness)[0] is Exit.DONE
    other = log_key("other.example", (tmp_path / "w" / "key.pub").read_bytes()).vkey()
    for words in (("--log-key", lines[1], "--log-key", other), ("--log-key", "")):
        assert error_code(stella("audit", "cosign", str(tmp_path / "request"), *words, *witness)) == "EVID_KEY_INVALID"
    stella("key", "revoke", stella("key", "list")[1][0]["key_id"], "--reason", "stolen")
    assert stella("audit", "log-key")[1] == [lines[1]]


def test_a_line_that_the_witness_did_not_write_is_not_kept(stella: Stella, packets: list[dict[str, Any]], home: Path, tmp_path: Path) -> None:
    (vkey,) = stella("audit", "log-key")[1]
    request = stella("audit", "witness-request", "--old", "0", "--output", str(tmp_path / "request"))[1]
    witness = ("--log-key", vkey, "--name", "witness.example", "--key", str(tmp_path / "w" / "key.pem"), "--state", str(tmp_path / "seen"))
    stella("audit", "cosign", str(tmp_path / "request"), *witness, "--output", str(tmp_path / "line"))
    other = tmp_path / "other"
    stella("audit", "cosign", str(tmp_path / "request"), *witness[:4], "--key", str(other / "key.pem"), "--state", str(tmp_path / "seen2"))
    answer = stella("audit", "cosigned", str(tmp_path / "line"), "--witness-key", str(other / "key.pub"), "--size", str(request["size"]))
    assert error_code(answer) == "EVID_CHECKPOINT_UNWITNESSED"
    (tmp_path / "line").write_text("nonsense\n")
    answer = stella("audit", "cosigned", str(tmp_path / "line"), "--witness-key", str(home / "keys" / "evidence.pub"), "--size", str(request["size"]))
    assert error_code(answer) == "EVID_CHECKPOINT_INVALID"
    assert json.loads(json.dumps(stella("audit", "checkpoint")[1]))["note"].count("witness.example") == 0
