"""`docs/referrers.md` works as typed, on the packaged registry; only the port and the digests are filled in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stella_pipelines.cli.exits import Exit
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import all_error_classes
from stella_pipelines.core.limits import MANIFEST_BYTES_MAX
from stella_pipelines.integrations.registries.distribution_referrers import LIST_BYTES_MAX, PAGES_MAX
from stella_pipelines.integrations.registries.referrers import REFERRERS_MAX, fallback_tag
from stella_pipelines.lab.lab import Lab
from stella_pipelines.releases import packet_artifact, packet_forms
from stella_pipelines.releases.attaching import PACKETS_MAX
from tests.support.command_line import Speaking, Stella, carried_out, error_code
from tests.support.evidence import signing_key
from tests.support.registries import plain_registry, require_program

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "referrers.md").read_text()
ATTACH, COSIGN, SAVE, SKOPEO = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def host(stella: Stella, applied: Lab, tmp_path: Path) -> Iterator[str]:
    """A registry beside the lab's own, declared in the estate, and a release that was decided about and deployed."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with plain_registry(folder) as running:
        estate = applied.estate_path.read_text()
        assert estate.count("registries:\n") == 1
        applied.estate_path.write_text(estate.replace("registries:\n", f"registries:\n  {running.host}: {{plain_http: true}}\n"))
        assert stella("apply", "-f", str(applied.estate_path), "--as", "alice")[0] is Exit.DONE
        carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
        yield running.host


def typed(block: str, host: str, digest: Digest, folder: Path) -> str:
    """Run a block of the page in a shell whose `stella` is this one; gives what it prints."""
    shim = folder / "bin" / "stella"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stella_pipelines.cli "$@"\n')
    shim.chmod(0o755)
    words = block.replace("127.0.0.1:5000", host).replace("sha256:…", digest).replace("sha256-…", fallback_tag(digest))
    environ = {**os.environ, "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-ec", words], cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_works_as_typed(stella: Stella, host: str, home: Path, tmp_path: Path) -> None:
    require_program("cosign", "cosign  # from Debian 13 on")
    require_program("skopeo", "skopeo")
    digest = Digest(stella("release", "show", "shop-1.0.0")[1]["digest"])
    (tmp_path / "evidence.pub").write_bytes((home / "keys" / "evidence.pub").read_bytes())
    said = typed(ATTACH, host, digest, tmp_path)
    about = {packet["packet"] for packet in stella("release", "attached", "shop-1.0.0")[1]}
    assert len(about) >= 2
    assert all(said.count(packet) == 2 for packet in about)
    statement = typed(COSIGN, host, digest, tmp_path)
    assert json.loads(statement.splitlines()[0])["payloadType"] == "application/vnd.in-toto+json"
    typed(SAVE, host, digest, tmp_path)
    assert len(list((tmp_path / "packets").glob("*.sigstore.json"))) == len(list((tmp_path / "packets").glob("*.dsse.json"))) == len(about)
    index = json.loads(typed(SKOPEO, host, digest, tmp_path))
    assert {entry["annotations"][packet_artifact.PACKET_ID] for entry in index["manifests"]} == about


def test_what_a_person_is_told(stella: Stella, speaking: Speaking, host: str, home: Path, tmp_path: Path) -> None:
    where = f"{host}/releases/shop"
    assert error_code(stella("release", "attach", "shop-1.0.0", "--all-packets")) == "REL_ATTACH_REFUSED"
    assert error_code(stella("release", "attach", "shop-1.0.0", "--to", where)) == "REL_ATTACH_REFUSED"
    assert error_code(stella("release", "attach", "shop-1.0.0", "--all-packets", "--to", where)) == "REL_ATTACH_REFUSED"
    assert stella("release", "push", "shop-1.0.0", where)[0] is Exit.DONE
    assert error_code(stella("release", "attach", "shop-1.0.0", "evd_nobody")) == "RES_EVIDENCE_MISSING"
    packet = stella("evidence", "list")[1][0]["id"]
    code, done = stella("release", "attach", "shop-1.0.0", packet)
    assert (code, [one["new"] for one in done]) == (Exit.DONE, [True])
    assert "was there already" in speaking("release", "attach", "shop-1.0.0", packet).out
    said = speaking("release", "attached", "shop-1.0.0").out
    assert "verified" in said
    assert packet in said
    other = tmp_path / "other.pub"
    other.write_bytes(signing_key(2).public_pem)
    refused = speaking("release", "attached", "shop-1.0.0", "--key", str(other), "--save", str(tmp_path / "saved"))
    assert (refused.code, "EVID_KEY_UNKNOWN" in refused.out) == (Exit.FAILED, True)
    assert not (tmp_path / "saved").exists()
    assert error_code(stella("release", "attached", "shop-1.0.0", "--key", str(tmp_path / "nothing.pub"))) == "EVID_FILE_UNREADABLE"
    other.write_text("no key")
    assert error_code(stella("release", "attached", "shop-1.0.0", "--key", str(other))) == "EVID_KEY_INVALID"
    assert error_code(stella("release", "attached", "shop-1.0.0", "--save", str(other / "in a file"))) == "EVID_FILE_UNWRITABLE"
    history = str(tmp_path / "keys.json")
    assert stella("key", "export", history)[0] is Exit.DONE
    assert stella("release", "attached", "shop-1.0.0", "--keys", history)[0] is Exit.DONE
    assert stella("release", "attached", "shop-1.0.0", "--type", "application/spdx+json") == (Exit.DONE, [])


def test_packets_are_attached_to_the_images_that_they_name_too(stella: Stella, applied: Lab) -> None:
    """In the lab's own registry, which is a layout folder."""
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    where = f"{applied.images['v1'].host}/releases/shop"
    assert stella("release", "push", "shop-1.0.0", where)[0] is Exit.DONE
    code, done = stella("release", "attach", "shop-1.0.0", "--all-packets", "--images")
    assert code is Exit.DONE
    release, web = stella("release", "show", "shop-1.0.0")[1], stella("release", "show", "shop-1.0.0")[1]["release"]["components"][0]
    found = stella("release", "attached", "shop-1.0.0", "--images")[1]
    assert all(line["verified"] for line in found)
    assert {line["subject"] for line in found} == {f"{where}@{release['digest']}", f"{web['repository']}@{web['digest']}"}
    assert len(found) == len(done)
    assert {line["packet"] for line in found if line["subject"].startswith(web["repository"] + "@")} >= {
        packet["id"] for packet in stella("evidence", "list", "--kind", "decision")[1]
    }
    again = stella("release", "attach", "shop-1.0.0", "--all-packets", "--images")[1]
    assert [one["new"] for one in again] == [False] * len(done)


def test_the_pages_types_annotations_limits_and_refusals_are_the_codes() -> None:
    told = [packet_artifact.CREATED, packet_artifact.PREDICATE_TYPE, packet_artifact.PACKET_ID, packet_artifact.KIND]
    told += [packet_artifact.BUNDLE_CONTENT, packet_artifact.BUNDLE_PREDICATE_TYPE, *packet_forms.PACKET_TYPES]
    assert [word for word in told if f"`{word}`" not in PAGE] == []
    known = {cls.code for cls in all_error_classes()}
    assert [code for code in re.findall(r"`((?:INT|EVID|REL)_[A-Z_]+)`", PAGE) if code not in known] == []
    limits = (PACKETS_MAX, REFERRERS_MAX, MANIFEST_BYTES_MAX // 2**20, PAGES_MAX, LIST_BYTES_MAX // 2**20)
    assert limits == (2_000, 10_000, 4, 1_000, 32)
    assert "2,000 packets at once, 10,000 entries in a list, 4 MiB for an index" in PAGE
    assert "1,000 pages and 32 MiB" in PAGE
