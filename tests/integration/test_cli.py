"""The command line as a user types it, on the embedded lab: what it prints, how it ends, and that bad input changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Stella, carried_out, error_code
from tests.support.intrusion import without_guards


def test_applying_twice_changes_nothing_the_second_time(stella: Stella, applied: Lab) -> None:
    assert stella("diff", "-f", str(applied.estate_path)) == (Exit.DONE, {"revision": None, "changes": []})
    code, again = stella("apply", "-f", str(applied.estate_path))
    assert (code, again["revision"], again["changes"]) == (Exit.DONE, 1, [])


def test_a_changed_file_shows_as_a_difference(stella: Stella, applied: Lab, tmp_path: Path) -> None:
    changed = tmp_path / "estate.yaml"
    changed.write_text(applied.estate_path.read_text().replace("soak_s: 2", "soak_s: 3"))
    code, answer = stella("diff", "-f", str(changed))
    assert code is Exit.WAITING
    assert [(change["kind"], change["noun"], change["name"]) for change in answer["changes"]] == [("change", "environment", "prod")]


@pytest.mark.parametrize(
    ("before", "after"), [("promotes_from: [dev]", "promotes_from: [prod]"), ("display_name: Staging", "displayname: Staging"), ("gates: none", "gates: {}")]
)
def test_a_bad_estate_file_is_refused_and_changes_nothing(stella: Stella, applied: Lab, tmp_path: Path, before: str, after: str) -> None:
    """A cycle, an unknown key, an environment without gates that does not say so."""
    bad = tmp_path / "estate.yaml"
    bad.write_text(applied.estate_path.read_text().replace(before, after))
    assert error_code(stella("apply", "-f", str(bad))) == "VAL_ESTATE_INVALID"
    assert stella("diff", "-f", str(applied.estate_path))[0] is Exit.DONE


def test_an_unreadable_estate_file_is_refused(stella: Stella, tmp_path: Path) -> None:
    assert error_code(stella("apply", "-f", str(tmp_path / "missing.yaml"))) == "VAL_ESTATE_UNREADABLE"
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert error_code(stella("apply", "-f", str(tmp_path / "binary.yaml"))) == "VAL_ESTATE_UNREADABLE"


def test_a_release_shows_every_digest(stella: Stella, applied: Lab) -> None:
    code, record = stella("release", "show", "shop-1.0.0")
    assert code is Exit.DONE
    component = record["release"]["components"][0]
    assert component["digest"] == applied.published["v1"].digest
    assert {image["digest"] for image in component["platforms"]} == {image.digest for image in applied.published["v1"].images}
    assert [entry["digest"] for entry in stella("release", "list")[1]] == [record["digest"]]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("web=registry.lab/shop/web@sha256:" + "0" * 64, "REL_IMAGE_NOT_FOUND"),
        ("web=registry.lab/shop/web:nowhere", "REL_IMAGE_NOT_FOUND"),
        ("web=elsewhere.example/shop/web:v1", "INT_REGISTRY_UNKNOWN"),
        ("web=shop/web:v1", "VAL_REFERENCE_INVALID"),
        ("registry.lab/shop/web:v1", "VAL_IMAGE_ARGUMENT"),
    ],
)
def test_a_release_of_something_that_is_not_there_is_refused(stella: Stella, applied: Lab, image: str, expected: str) -> None:
    assert error_code(stella("release", "create", "shop", "9.9.9", image)) == expected
    assert len(stella("release", "list")[1]) == 1


def test_a_draft_has_no_identity_to_promote(stella: Stella, applied: Lab) -> None:
    assert stella("release", "create", "shop", "2.0.0", f"web={applied.images['v2']}", "--draft")[0] is Exit.DONE
    assert error_code(stella("promote", "shop-2.0.0", "--to", "dev")) == "REL_DRAFT"
    assert stella("release", "finalize", "shop", "2.0.0")[1]["state"] == "finalized"


def test_two_promotions_into_one_environment_are_one_too_many(stella: Stella, applied: Lab, tmp_path: Path) -> None:
    code, first = stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait", "--as", "alice")
    assert (code, first["state"]) == (Exit.DONE, "evaluating")
    assert error_code(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")) == "PROM_IN_PROGRESS"
    without_dev = tmp_path / "estate.yaml"
    text = applied.estate_path.read_text()
    without_dev.write_text(
        text.replace("  dev:\n    display_name", "  test:\n    display_name").replace("[dev]", "[test]").replace("environment: dev", "environment: test")
    )
    assert error_code(stella("apply", "-f", str(without_dev))) == "ENV_IN_USE"
    assert stella("cancel", "dev", "--reason", "changed my mind")[1]["state"] == "cancelled"
    assert stella("apply", "-f", str(without_dev))[0] is Exit.DONE


def test_a_promotion_is_carried_out_and_taken_back(stella: Stella, applied: Lab) -> None:
    for version, image in (("1.0.0", "v1"), ("1.1.0", "v2")):
        assert stella("release", "create", "shop", version, f"web={applied.images[image]}", "--commit", "5e1f0c3")[0] is Exit.DONE
        assert carried_out(stella("promote", f"shop-{version}", "--to", "dev", "--no-wait")[1]["id"]) == "deployed"
    assert [(row["environment"], row["release"], row["healthy"]) for row in stella("status")[1] if row["release"]] == [("dev", "shop-1.1.0", True)]
    code, record = stella("rollback", "dev", "--to", "shop-1.0.0", "--reason", "the pictures are upside down")
    assert (code, record["kind"]) == (Exit.DONE, "rollback")
    assert [row["release"] for row in stella("status")[1] if row["release"]] == ["shop-1.0.0"]
    packets = stella("evidence", "list", "--environment", "dev")[1]
    assert [packet["kind"] for packet in packets] == ["rollback", "deployment", "decision", "deployment", "decision"]
    assert [packet["sequence"] for packet in packets] == [5, 4, 3, 2, 1]


def test_evidence_verifies_with_the_file_and_the_key_alone(stella: Stella, applied: Lab, home: Path, tmp_path: Path) -> None:
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    decision = next(packet for packet in stella("evidence", "list")[1] if packet["kind"] == "decision")
    file, key = tmp_path / "packet.json", home / "keys" / "evidence.pub"
    assert stella("evidence", "show", decision["id"], "--raw", str(file))[1]["digest"] == decision["digest"]
    assert stella("evidence", "verify", str(file), "--key", str(key))[1]["verified"] is True
    assert stella("evidence", "replay", decision["id"])[1]["byte_equal"] is True
    file.write_bytes(file.read_bytes()[:-20])
    assert error_code(stella("evidence", "verify", str(file), "--key", str(key))) == "EVID_MALFORMED"
    assert error_code(stella("evidence", "verify", str(tmp_path / "none"), "--key", str(key))) == "EVID_FILE_UNREADABLE"


def test_a_packet_that_was_edited_in_the_database_is_neither_shown_nor_replayed(stella: Stella, applied: Lab) -> None:
    """Inputs that give the same decision again prove nothing about an envelope that nobody sealed."""
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    decision = next(packet for packet in stella("evidence", "list")[1] if packet["kind"] == "decision")
    with open_control_plane(Settings.from_environ(os.environ)) as plane, plane.store.writing() as tx, without_guards(tx):
        document = json.loads(plane.evidence.get(tx, decision["id"]).envelope)
        document["signatures"][0]["sig"] = "A" * 86 + "=="
        envelope = canonical_json(document)
        tx.connection.execute(sa.update(evidence_packets).where(evidence_packets.c.id == decision["id"]).values(envelope=envelope, digest=Digest.of(envelope)))
    assert error_code(stella("evidence", "replay", decision["id"])) == "EVID_SIGNATURE_INVALID"
    assert error_code(stella("evidence", "show", decision["id"])) == "EVID_SIGNATURE_INVALID"


def test_a_decision_that_stands_in_another_place_is_not_replayed(stella: Stella, applied: Lab) -> None:
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    decision = next(packet for packet in stella("evidence", "list")[1] if packet["kind"] == "decision")
    with open_control_plane(Settings.from_environ(os.environ)) as plane, plane.store.writing() as tx, without_guards(tx):
        tx.connection.execute(sa.update(evidence_packets).where(evidence_packets.c.id == decision["id"]).values(stream="environment/prod"))
    assert error_code(stella("evidence", "replay", decision["id"])) == "EVID_STORED_DIFFERS"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("release", "show", "shop-7.7.7"), "RES_RELEASE_MISSING"),
        (("promote", "shop-1.0.0", "--to", "nowhere", "--no-wait"), "PROM_ENVIRONMENT_UNKNOWN"),
        (("approve", "prm_nonsense", "--no-wait"), "RES_PROMOTION_MISSING"),
        (("evidence", "show", "evd_nonsense"), "RES_EVIDENCE_MISSING"),
        (("promote", "shop-1.0.0", "--to", "dev", "--no-wait", "--as", "no body"), "AUTH_ACTOR_INVALID"),
    ],
)
def test_what_is_not_there_is_said_with_its_code(stella: Stella, applied: Lab, words: tuple[str, ...], expected: str) -> None:
    assert error_code(stella(*words)) == expected


def test_a_wrong_command_line_is_a_usage_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["promote"]) is Exit.USAGE
    assert run(["nonsense"]) is Exit.USAGE
    assert "Usage" in capsys.readouterr().err
