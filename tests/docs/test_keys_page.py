"""The commands of `docs/keys.md` are run, in the order of the page: by the real stella, cosign, openssl and OpenBao."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stella_pipelines.cli.bundles import COSIGN
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.streams import RELEASES
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.integrations.signing.references import parse_reference
from stella_pipelines.integrations.signing.selection import open_key
from stella_pipelines.store import blobs
from tests.support.cosign import run_offline
from tests.support.evidence import NOW, PREDICATE, genuine_packet, p256_key, signing_key
from tests.support.openbao import ROOT_TOKEN, OpenBao, open_bao

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
ROOT = Path(__file__).parents[2]
Shell = Callable[..., str]


def block(start: str) -> str:
    """The only block of the page that begins so."""
    (found,) = [one for one in BLOCKS if one.startswith(start)]
    return str(found)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a block in a folder of its own, with the checkout's `stella` and an empty environment."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "stella").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m stella_pipelines.cli "$@"\n')
    (programs / "stella").chmod(0o755)
    paths = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]

    def run(script: str, **environ: str) -> str:
        environment = {"PATH": os.pathsep.join(paths), "HOME": str(tmp_path), "STELLA_HOME": str(tmp_path / "home"), **environ}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


PACKET = "evd_01jd0000000000000000000000"


@pytest.fixture
def installed(tmp_path: Path, shell: Shell) -> None:
    """An installation with one packet about something that it keeps, and the packet as a file beside the first public key."""
    with open_control_plane(Settings.from_environ({"STELLA_HOME": str(tmp_path / "home")})) as plane, plane.store.writing() as tx:
        about = blobs.put(tx, b'{"a release":"manifest"}', "application/json", NOW)
        subject = Subject(name="shop-1.0.0", digest=about)
        plane.evidence.seal(tx, packet_id=PACKET, kind="release", stream=RELEASES, subjects=[subject], predicate=PREDICATE, at=NOW)
    shell(f"stella evidence show {PACKET} --raw packet.json && cp home/keys/evidence.pub first.pub")


@pytest.fixture(scope="module")
def bao() -> Iterator[OpenBao]:
    with open_bao() as server:
        yield server


@pytest.mark.usefixtures("installed")
def test_history_rotation_and_revocation_as_the_page_has_them(shell: Shell, tmp_path: Path) -> None:
    assert "verified" in shell(block("stella key list"))
    assert "verified" in shell(block("stella evidence verify packet.json --keys keys.json --key first.pub"))
    old = shell("stella key list --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0][\"key_id\"])'").strip()
    shell(block('stella key rotate --reason "yearly'))
    assert (tmp_path / "home" / "keys" / "retired" / f"{old}.pem").is_file()
    rotated, revoked = block('stella key rotate --reason "laptop').splitlines()
    shell(rotated)
    assert "trusted only in the log below" in shell(revoked, OLD_KEY=old)
    shell("stella key export keys.json")
    assert "stands in the log" in shell(block("stella audit prove"), PACKET=PACKET)
    with pytest.raises(AssertionError, match="EVID_KEY_REVOKED"):
        shell("stella evidence verify packet.json --keys keys.json")
    assert "Set STELLA_SIGNING_KEY" in shell(block("stella key create"))


@pytest.mark.usefixtures("installed")
def test_cosign_as_the_page_has_it(shell: Shell, tmp_path: Path) -> None:
    assert COSIGN in shell(block("stella evidence bundle"), PACKET=PACKET)
    assert block("cosign ").strip() == COSIGN
    assert run_offline(COSIGN, tmp_path / "for-the-auditor").returncode == 0


@pytest.mark.parametrize("key", [signing_key(), p256_key()], ids=["ed25519", "ecdsa-p256"])
def test_openssl_as_the_page_has_it(key: FileKey, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "packet.json").write_bytes(genuine_packet(key))
    (tmp_path / "evidence.pub").write_bytes(key.public_pem)
    assert "Signature Verified Successfully" in shell(block("python3 - <<'PY'"))
    assert shell(block("openssl pkey -pubin")).split()[0] == key.key_id
    (tmp_path / "evidence.pub").write_bytes(signing_key(9).public_pem if key.algorithm == "ed25519" else p256_key(9).public_pem)
    with pytest.raises(AssertionError, match="Verification Failure"):
        shell(block("python3 - <<'PY'"))


def test_vault_as_the_page_has_it(bao: OpenBao, shell: Shell) -> None:
    bao.ask("DELETE", "sys/mounts/transit")
    token = shell(block("bao secrets enable"), BAO_ADDR=bao.url, BAO_CACERT=str(bao.ca), BAO_TOKEN=ROOT_TOKEN).splitlines()[-1]
    (reference,) = re.findall(r"`(vault-transit:https://HOST:8200/transit/evidence\?[^`]*)`", PAGE)
    named = reference.replace("https://HOST:8200", bao.url) + f"&ca={bao.ca}"
    key = open_key(parse_reference(named), {"VAULT_TOKEN": token})
    assert verify_packet(genuine_packet(key), [key.public_pem]).key_id == key.key_id


def test_every_form_of_the_setting_can_be_read() -> None:
    forms = re.findall(r"^\| `([a-z-]+:[^`]*)` \|", PAGE, re.M)
    assert len(forms) == 4
    for form in forms:
        named = form.replace("HOST", "vault.example").replace("ARN", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
        assert parse_reference(named).scheme == form.split(":", 1)[0]


def test_no_command_of_the_page_is_left_out() -> None:
    starts = ["stella key list", "stella evidence verify", "stella key rotate --reason", "stella key create", "stella audit prove", "stella evidence bundle"]
    starts += ["cosign ", "python3 ", "openssl pkey ", "bao secrets"]
    assert [one for one in BLOCKS if not one.startswith(tuple(starts))] == []
