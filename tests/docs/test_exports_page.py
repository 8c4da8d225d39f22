"""The commands of docs/exports.md work as typed, one after the other; so does its verifier, which needs nothing of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stella_pipelines.evidence.exports.page import VERIFY_WITH_COSIGN, VERIFY_WITH_OPENSSL
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import carried_out
from tests.support.cosign import cosign_or_skip
from tests.support.deploy_files import program
from tests.support.pages import ROOT, Shell, blocks

INSTALL = "apt-get install -y --no-install-recommends jq unzip openssl"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell beside an installation with a deployed release."""
    for name in ("jq", "unzip", "openssl"):
        program(name, INSTALL)
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
    made = Shell(tmp_path / "work", tmp_path / "home")
    with Lab("embedded", tmp_path / "lab") as lab:
        made.run(f"stella apply -f {lab.estate_path}\nstella release create shop 1.0.0 web={lab.images['v1']}\ncp {lab.estate_path} estate.yaml")
        promotion = made.run("stella --json promote shop-1.0.0 --to dev --no-wait | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"id\"])'")
        carried_out(promotion.strip())
    return made


def test_the_commands_of_the_page_work_as_typed(shell: Shell, tmp_path: Path) -> None:
    written, verified, packet, tables, imported = blocks("exports.md")
    assert shell.run(written).count("written") == 3
    assert "none missing" in shell.run(verified)
    assert "Signature Verified Successfully" in shell.run(packet)
    assert "dev" in shell.run(tables.replace("python3", sys.executable))
    there = Shell(tmp_path / "there", tmp_path / "home2")
    there.run(f"stella apply -f {shell.folder}/estate.yaml\ncp {shell.folder}/release.zip {tmp_path}/home/keys/evidence.pub .")
    assert "everything about release shop-1.0.0" in there.run(imported)


def test_the_verifier_of_the_page_needs_nothing_of_ours(shell: Shell, tmp_path: Path) -> None:
    shell.run("stella evidence export --all --output all.zip")
    (tmp_path / "verifier.py").write_text(python_blocks()[1])
    command = [sys.executable, "-I", str(tmp_path / "verifier.py"), str(shell.folder / "all.zip")]
    assert "packets stand in the log" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_frames_are_made_of_an_export_as_written(shell: Shell, tmp_path: Path) -> None:
    shell.run(f"stella evidence export --environment dev --output dev.zip\ncp {tmp_path}/home/keys/evidence.pub .")
    (shell.folder / "frames.py").write_text(python_blocks()[0])
    assert "allow" in shell.run(f"{sys.executable} frames.py")


def python_blocks() -> list[str]:
    """The page's programs, in their order."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "exports.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_export_s_own_page_work_as_typed(shell: Shell, tmp_path: Path) -> None:
    cosign_or_skip()
    shell.run(f"stella evidence export --environment dev --output dev.zip\ncp {tmp_path}/home/keys/evidence.pub .")
    assert "Signature Verified Successfully" in shell.run(VERIFY_WITH_OPENSSL.replace("FILE", "dev.zip"))
    assert shell.run("{ " + VERIFY_WITH_COSIGN.replace("FILE", "dev.zip") + "; } 2>&1").strip().endswith("Verified OK")
