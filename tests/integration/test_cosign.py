"""Other people's tools verify a packet: the real cosign without a network, sigstore-python's types, securesystemslib, and openssl."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope as SecuresystemslibEnvelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # public there, but re-exported without saying so
from sigstore.dsse import Envelope as SigstoreEnvelope
from sigstore.dsse import Statement as SigstoreStatement
from sigstore.dsse import _verify as sigstore_verify
from sigstore_models.bundle.v1 import Bundle as SigstoreBundle

from stella_pipelines.cli.bundles import BUNDLE, COSIGN, KEY, ROOT, SUBJECT
from stella_pipelines.cli.exits import Exit
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.bundle import BUNDLE_MEDIA_TYPE, TRUSTED_ROOT, write_bundle
from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.statement import Subject, make_statement
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Speaking, Stella, carried_out
from tests.support.cosign import run_offline
from tests.support.evidence import PREDICATE, SEAL, p256_key, signing_key

BLOB = b'{"the release":"manifest"}'
KEYS = {"ed25519": signing_key(), "ecdsa-p256": p256_key()}
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest) -> FileKey:
    return KEYS[str(request.param)]


def a_packet(key: FileKey, about: bytes = BLOB) -> bytes:
    subjects = [Subject(name="release", digest=Digest.of(about)), Subject(name="image", digest=Digest.of(b"image"))]
    return write_envelope(make_statement("decision", subjects, {**PREDICATE, "nothing": None, "nested": [{"ä": -1}]}, SEAL).canonical(), key)


def put(folder: Path, key: FileKey, bundle: bytes, *, blob: bytes = BLOB) -> Path:
    for name, content in {BUNDLE: bundle, KEY: key.public_pem, ROOT: TRUSTED_ROOT, SUBJECT: blob}.items():
        (folder / name).write_bytes(content)
    return folder


def changed(bundle: bytes, change: Change) -> bytes:
    document = json.loads(bundle)
    change(document["dsseEnvelope"])
    return json.dumps(document).encode()


def test_cosign_accepts_a_packet_with_the_public_key_and_an_empty_trusted_root(key: FileKey, tmp_path: Path) -> None:
    answer = run_offline(COSIGN, put(tmp_path, key, write_bundle(a_packet(key), key.key_id)))
    assert (answer.returncode, "Verified OK" in answer.stderr) == (0, True), answer.stderr


def another_payload(envelope: dict[str, Any]) -> None:
    payload = base64.b64decode(envelope["payload"]).replace(b'"outcome":"allow"', b'"outcome":"deny!"')
    envelope["payload"] = base64.b64encode(payload).decode()


def another_signature(envelope: dict[str, Any]) -> None:
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[20] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()


@pytest.mark.parametrize("change", [another_payload, another_signature])
def test_cosign_refuses_what_was_changed(key: FileKey, tmp_path: Path, change: Change) -> None:
    bundle = write_bundle(a_packet(key), key.key_id)
    answer = run_offline(COSIGN, put(tmp_path, key, changed(bundle, change)))
    assert answer.returncode != 0
    assert "Verified OK" not in answer.stderr


def test_cosign_refuses_another_key_and_another_subject(key: FileKey, tmp_path: Path) -> None:
    bundle = write_bundle(a_packet(key), key.key_id)
    other = FileKey.load_or_create(tmp_path / "keys" / "other.pem", key.algorithm)
    assert run_offline(COSIGN, put(tmp_path, other, bundle)).returncode != 0
    assert run_offline(COSIGN, put(tmp_path, key, bundle, blob=b"another release")).returncode != 0
    assert run_offline(COSIGN, put(tmp_path, key, bundle)).returncode == 0


def test_sigstores_own_types_read_it(key: FileKey) -> None:
    content = write_bundle(a_packet(key), key.key_id)
    bundle = SigstoreBundle.from_json(content)
    assert (bundle.media_type, bundle.verification_material.tlog_entries) == (BUNDLE_MEDIA_TYPE, [])
    assert bundle.verification_material.public_key is not None
    assert bundle.verification_material.public_key.hint == key.key_id
    envelope = SigstoreEnvelope._from_json(json.dumps(json.loads(content)["dsseEnvelope"]))
    assert SigstoreStatement(base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"]))
    public = load_pem_public_key(key.public_pem)
    if isinstance(public, EllipticCurvePublicKey):  # sigstore-python checks only this kind
        assert json.loads(sigstore_verify(public, envelope))["predicateType"].endswith("/decision/v1")
    else:
        public.verify(envelope.signature, envelope.pae())  # type: ignore[union-attr,call-arg]


def test_securesystemslib_verifies_the_packet_itself(key: FileKey) -> None:
    envelope = SecuresystemslibEnvelope.from_dict(json.loads(a_packet(key)))
    known = SSlibKey.from_crypto(load_pem_public_key(key.public_pem), keyid=key.key_id)
    assert list(envelope.verify([known], threshold=1)) == [key.key_id]


def test_openssl_verifies_a_packet_by_hand(key: FileKey, tmp_path: Path) -> None:
    """As docs/keys.md says it: the bytes that are signed, the signature, and openssl."""
    packet = json.loads(a_packet(key))
    payload, kind = base64.b64decode(packet["payload"]), packet["payloadType"]
    (tmp_path / "signed").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    (tmp_path / "signature").write_bytes(base64.b64decode(packet["signatures"][0]["sig"]))
    (tmp_path / "evidence.pub").write_bytes(key.public_pem)
    raw = ["-rawin", *(["-digest", "sha256"] if key.algorithm == "ecdsa-p256" else [])]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "evidence.pub", *raw, "-in", "signed", "-sigfile", "signature"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "signed").write_bytes(b"DSSEv1 something else")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_the_command_writes_what_cosign_needs_and_says_how(stella: Stella, speaking: Speaking, applied: Lab, tmp_path: Path) -> None:
    carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"])
    packet = next(one for one in stella("evidence", "list", "--environment", "dev")[1] if one["kind"] == "decision")
    folder = tmp_path / "for the auditor"
    code, told = stella("evidence", "bundle", packet["id"], str(folder))
    assert (code, told["command"], told["files"]) == (Exit.DONE, COSIGN, sorted([BUNDLE, KEY, ROOT, SUBJECT]))
    assert run_offline(told["command"], folder).returncode == 0
    said = speaking("evidence", "bundle", packet["id"], str(folder)).out
    assert COSIGN in said
    (folder / SUBJECT).write_bytes(b"{}")
    assert run_offline(told["command"], folder).returncode != 0
