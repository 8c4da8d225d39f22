"""Exporting, verifying and importing on the command line, with real promotions; and an export whose process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stella_pipelines.cli.exits import Exit
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Speaking, Stella, carried_out, error_code
from tests.support.exports import members_of
from tests.support.waiting import eventually


@pytest.fixture
def deployed(stella: Stella, applied: Lab) -> str:
    """A release in dev; its index's digest."""
    code, promotion = stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait", "--as", "alice")
    assert code is Exit.DONE
    assert carried_out(promotion["id"]) == "deployed"
    return str(stella("release", "show", "shop-1.0.0")[1]["release"]["components"][0]["digest"])


@pytest.mark.parametrize("question", ["--environment dev", "--release shop@1.0.0", "--all", "--digest DIGEST", "--environment dev --since 2026-01-01"])
def test_an_export_of_each_question_is_verified_with_the_public_key_alone(
    stella: Stella, deployed: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    file = str(tmp_path / "a.zip")
    code, written = stella("evidence", "export", *question.replace("DIGEST", deployed).split(), "-o", file, "--as", "rita", "--reason", "audit")
    assert code is Exit.DONE
    assert {"decision", "deployment"} <= {packet["kind"] for packet in stella("evidence", "list")[1]}
    sealed = stella("evidence", "show", written["packet_id"])[1]["statement"]["predicate"]
    assert (sealed["exported_by"]["name"], sealed["reason"]) == ("rita", "audit")
    key = str(home / "keys" / "evidence.pub")
    monkeypatch.setenv("STELLA_HOME", "/nowhere")  # an auditor has no installation
    monkeypatch.setenv("STELLA_DATABASE_URL", "sqlite:////nowhere/stella.db")
    code, verified = stella("evidence", "verify-export", file, "--key", key)
    assert code is Exit.DONE
    assert {**verified, "verified": None} == {**written["report"], "verified": None}
    assert verified["counts"]["packets"] >= 3
    assert verified["counts"]["blobs"] >= 3


def test_what_is_asked_for_wrongly(stella: Stella, applied: Lab, home: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "a.zip")
    assert error_code(stella("evidence", "export", "-o", file)) == "VAL_EXPORT_QUESTION"
    assert error_code(stella("evidence", "export", "-o", file, "--all", "-e", "dev")) == "VAL_EXPORT_QUESTION"
    assert error_code(stella("evidence", "export", "-o", file, "-e", "nowhere")) == "PROM_ENVIRONMENT_UNKNOWN"
    assert error_code(stella("evidence", "export", "-o", file, "--digest", "sha256:x")) == "VAL_DIGEST_INVALID"
    assert error_code(stella("evidence", "export", "-o", file, "--all", "--since", "2026-02-01", "--until", "2026-01-01")) == "EVID_EXPORT_QUESTION_INVALID"
    assert error_code(stella("evidence", "export", "-o", str(tmp_path / "no" / "a.zip"), "--all")) == "EVID_EXPORT_UNWRITABLE"
    assert error_code(stella("evidence", "verify-export", file)) == "VAL_NO_KEY_GIVEN"
    assert error_code(stella("evidence", "verify-export", file, "--key", str(home / "keys" / "evidence.pub"))) == "EVID_EXPORT_UNREADABLE"
    assert not Path(file).exists()


def test_the_way_across_an_air_gap(stella: Stella, speaking: Speaking, deployed: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, key = str(tmp_path / "release.zip"), str(home / "keys" / "evidence.pub")
    assert stella("evidence", "export", "--release", "shop@1.0.0", "-o", file)[0] is Exit.DONE
    assert error_code(stella("evidence", "import", file, "--key", key)) == "EVID_IMPORT_OWN"
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "there"))
    monkeypatch.setenv("STELLA_DATABASE_URL", f"sqlite:///{tmp_path / 'there' / 'stella.db'}")
    (tmp_path / "estate.yaml").write_text("components:\n  web:\n    repository: registry.test/shop/web\nenvironments:\n  dev:\n    gates: none\n")
    assert speaking("apply", "-f", str(tmp_path / "estate.yaml"), "--as", "bob").code is Exit.DONE
    code, imported = stella("evidence", "import", file, "--key", key, "--as", "bob", "--reason", "for the site")
    assert (code, imported["imported"]) == (Exit.DONE, True)
    assert stella("evidence", "import", file, "--key", key)[1]["imported"] is False
    (listed,) = stella("evidence", "imported", "list")[1]
    assert listed["digest"] == imported["digest"]
    code, shown = stella("evidence", "imported", "show", listed["digest"][7:19])
    assert {"release", "decision", "deployment"} <= {packet["kind"] for packet in shown["packets"]}
    assert shown["trusted"] == [shown["signed_by"]]
    blob = next(name for name in members_of(Path(file)) if name.startswith("blobs/")).removeprefix("blobs/").replace("-", ":")
    written = tmp_path / "artifact"
    assert stella("evidence", "imported", "show", listed["digest"], "--artifact", blob, "--raw", str(written))[0] is Exit.DONE
    assert written.read_bytes() == members_of(Path(file))[f"blobs/{blob.replace(':', '-')}"]
    assert error_code(stella("evidence", "imported", "show", "0" * 12)) == "RES_IMPORT_MISSING"
    (entry,) = stella("audit", "list", "--action", "evidence.import")[1]
    assert (entry["actor"]["name"], entry["reason"]) == ("bob", "for the site")
    assert stella("audit", "check")[0] is Exit.DONE
    assert stella("evidence", "list")[1] == []  # apart from the installation's own
    assert "everything about release shop-1.0.0" in speaking("evidence", "imported", "list").out


def test_an_export_whose_process_is_killed_goes_on(stella: Stella, deployed: str, home: Path, tmp_path: Path) -> None:
    """The process is killed as soon as it has written something; the one after it writes the same bytes as one that nobody disturbs."""
    target = tmp_path / "killed.zip"
    command = [sys.executable, "-m", "stella_pipelines.cli", "evidence", "export", "--all", "--output", str(target)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    journal = tmp_path / "killed.zip.journal"
    eventually(lambda: process.poll() is not None or (journal.exists() and journal.read_bytes().count(b"\n") > 4))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    beginning = journal.read_bytes().split(b"\n")[0] + b"\n"
    code, done = stella("evidence", "export", "--all", "--output", str(target))
    assert code is Exit.DONE
    assert not journal.exists()
    key = str(home / "keys" / "evidence.pub")
    assert stella("evidence", "verify-export", str(target), "--key", key)[0] is Exit.DONE
    (tmp_path / "whole.zip.journal").write_bytes(beginning)  # the same question at the same checkpoint, in one go
    assert stella("evidence", "export", "--all", "--output", str(tmp_path / "whole.zip"))[0] is Exit.DONE
    assert target.read_bytes() == (tmp_path / "whole.zip").read_bytes()
    exports = [packet["id"] for packet in stella("evidence", "list", "--kind", "audit-export")[1]]
    assert exports == [done["packet_id"]]  # sealed once
