"""Evidence and the audit trail as a person reads them: what was decided, where, when, about what and by whom."""

from __future__ import annotations

import re
from pathlib import Path

from stella_pipelines.cli.exits import Exit
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Speaking, Stella, carried_out

RFC_3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


def test_the_list_says_how_it_ended_and_when(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    carried_out(stella("promote", "shop-1.0.0", "--to", "prod", "--no-wait")[1]["id"])
    packets = stella("evidence", "list")[1]
    assert {(packet["environment"], packet["kind"], packet["outcome"]) for packet in packets} == {
        (None, "release", "finalized"),
        ("dev", "decision", "allow"),
        ("dev", "summary", "passed"),
        ("dev", "deployment", "succeeded"),
        ("prod", "decision", "deny"),
        ("prod", "summary", "failed"),
    }
    assert {packet["kind"] for packet in stella("evidence", "list", "-e", "dev")[1]} == {"decision", "deployment"}
    assert {packet["stream"] for packet in stella("evidence", "list", "-e", "dev", "--kind", "summary")[1]} == {"summaries/dev"}
    assert all(re.fullmatch(RFC_3339, packet["sealed_at"]) for packet in packets)
    said = speaking("evidence", "list").out
    assert "OUTCOME" in said.splitlines()[0]
    assert "deny" in said


def test_a_verified_packet_says_what_was_decided(stella: Stella, speaking: Speaking, applied: Lab, home: Path, tmp_path: Path) -> None:
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait", "--as", "alice")[1]["id"])
    key = str(home / "keys" / "evidence.pub")
    for packet, outcome in zip(stella("evidence", "list", "-e", "dev")[1], ("succeeded", "allow"), strict=True):
        file = str(tmp_path / f"{packet['id']}.json")
        assert stella("evidence", "show", packet["id"], "--raw", file)[0] is Exit.DONE
        found = stella("evidence", "verify", file, "--key", key)[1]
        assert (found["outcome"], found["environment"], found["sequence"], found["release"]) == (outcome, "dev", packet["sequence"], "shop-1.0.0")
        assert (found["sealed_at"], found["actors"]) == (packet["sealed_at"], ["alice"])
        said = speaking("evidence", "verify", file, "--key", key).out
        for word in (outcome, "dev", f"no. {packet['sequence']}", "shop-1.0.0", "alice", packet["sealed_at"][:10]):
            assert word in said


def test_the_audit_trail_can_be_read(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    assert stella("release", "deprecate", "shop-1.0.0", "--reason", "leaks memory", "--as", "bob")[0] is Exit.DONE
    code, entries = stella("audit", "list")
    assert code is Exit.DONE
    assert (entries[0]["actor"]["name"], entries[0]["reason"]) == ("bob", "leaks memory")
    assert len(stella("audit", "list", "--limit", "1")[1]) == 1
    subject = entries[0]["subject"]
    assert {entry["subject"] for entry in stella("audit", "list", "--subject", subject)[1]} == {subject}
    assert stella("audit", "list", "--subject", "nothing") == (Exit.DONE, [])
    assert "leaks memory" in speaking("audit", "list").out
