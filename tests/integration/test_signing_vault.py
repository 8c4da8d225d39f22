"""A key in a real OpenBao: it never leaves, its signatures are checked, and without it nothing is sealed."""

from __future__ import annotations

import base64
import json
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.core import limits
from stella_pipelines.evidence.errors import KeyNotInForce
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.streams import RELEASES
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.integrations.secrets import SecretMissing
from stella_pipelines.integrations.signing.errors import SigningAnswerInvalid, SigningReferenceInvalid, SigningRefused, SigningUnreachable
from stella_pipelines.integrations.signing.references import parse_reference
from stella_pipelines.integrations.signing.selection import open_key
from stella_pipelines.store.database import Store
from tests.support.evidence import NOW, PREDICATE, RELEASE, genuine_packet, signing_key
from tests.support.openbao import ROOT_TOKEN, OpenBao, open_bao

TOKEN = "&token=env://VAULT_TOKEN"
ENVIRON = {"VAULT_TOKEN": ROOT_TOKEN}
SIGNER_POLICY = """
path "transit/keys/limited" { capabilities = ["read"] }
path "transit/sign/limited" { capabilities = ["update"] }
path "transit/sign/limited/*" { capabilities = ["update"] }
"""


@pytest.fixture(scope="module")
def bao() -> Iterator[OpenBao]:
    with open_bao() as server:
        yield server


def opened(reference: str, environ: dict[str, str] | None = None) -> SigningKey:
    return open_key(parse_reference(reference), ENVIRON if environ is None else environ)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256"])
def test_a_packet_sealed_by_vault_verifies_with_the_public_key_alone(bao: OpenBao, kind: str) -> None:
    key = opened(bao.key(f"sealing-{kind}", kind) + TOKEN)
    assert key.algorithm == kind
    for number in range(8):  # of ECDSA signatures every second one comes with the other s
        assert verify_packet(genuine_packet(key, number=number), [key.public_pem]).key_id == key.key_id


def test_large_packets_are_signed_too(bao: OpenBao) -> None:
    for kind in ("ed25519", "ecdsa-p256"):
        key = opened(bao.key(f"large-{kind}", kind) + TOKEN)
        assert verify_packet(genuine_packet(key, much="x" * 5_000_000), [key.public_pem]).kind == "decision"


def test_the_version_is_pinned(bao: OpenBao) -> None:
    reference = bao.key("versioned", "ecdsa-p256") + TOKEN
    first = opened(reference)
    bao.ask("POST", "transit/keys/versioned/rotate")
    second = opened(reference.replace("version=1", "version=2"))
    assert opened(reference).key_id == first.key_id != second.key_id
    for key in (first, second):
        assert verify_packet(genuine_packet(key), [key.public_pem]).key_id == key.key_id
    with pytest.raises(SigningRefused, match="no version 3"):
        opened(reference.replace("version=1", "version=3"))


def test_a_key_of_another_kind_or_none_is_refused(bao: OpenBao) -> None:
    for kind in ("aes256-gcm96", "rsa-2048", "ecdsa-p384"):
        with pytest.raises(SigningRefused, match="kind"):
            opened(bao.key(f"other-{kind}", kind) + TOKEN)
    with pytest.raises(SigningRefused, match="404"):
        opened(f"vault-transit:{bao.url}/transit/nothing?version=1&ca={bao.ca}{TOKEN}")


def test_a_token_needs_two_rights_and_no_more(bao: OpenBao) -> None:
    reference = bao.key("limited", "ecdsa-p256") + TOKEN
    environ = {"VAULT_TOKEN": bao.token_for("signer", SIGNER_POLICY)}
    key = opened(reference, environ)
    assert verify_packet(genuine_packet(key), [key.public_pem]).key_id == key.key_id
    with pytest.raises(SigningRefused, match="403"):
        opened(bao.key("not-its-own", "ecdsa-p256") + TOKEN, environ)
    with pytest.raises(SigningRefused, match="403"):
        opened(reference, {"VAULT_TOKEN": "wrong"})
    with pytest.raises(SecretMissing):
        opened(reference, {})


def test_the_token_may_be_in_a_file(bao: OpenBao, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(ROOT_TOKEN + "\n")
    assert opened(f"{bao.key('by-file', 'ed25519')}&token=file://{tmp_path}/token", {}).algorithm == "ed25519"


def test_nothing_of_the_environment_is_used(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "VAULT_ADDR", "VAULT_PROXY_ADDR"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("VAULT_NAMESPACE", "somewhere-else")
    assert opened(bao.key("alone", "ed25519") + TOKEN).algorithm == "ed25519"


def test_a_server_with_another_certificate_is_not_talked_to(bao: OpenBao, tmp_path: Path) -> None:
    reference = bao.key("certified", "ed25519") + TOKEN
    with pytest.raises(SigningUnreachable, match="ConnectError"):
        opened(reference.replace(f"&ca={bao.ca}", ""))
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SigningReferenceInvalid):
        opened(reference.replace(str(bao.ca), str(tmp_path / "ca.pem")))


def seal(store: Store, key: SigningKey, packet_id: str) -> None:
    with store.writing() as tx:
        Evidence(key).seal(tx, packet_id=packet_id, kind="release", stream=RELEASES, subjects=[RELEASE], predicate=PREDICATE, at=NOW)


def test_while_vault_is_sealed_or_silent_nothing_is_sealed_and_later_it_is(bao: OpenBao, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SIGNING_TIMEOUT_S", 0.3)
    key = opened(bao.key("outage", "ecdsa-p256") + TOKEN)
    seal(store, key, "evd_1")
    bao.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(SigningUnreachable) as caught:
            seal(store, key, "evd_2")
    finally:
        bao.process.send_signal(signal.SIGCONT)
    assert caught.value.retryable
    seal(store, key, "evd_2")
    with store.reading() as tx:
        assert [packet.sequence for packet in Evidence(key).list(tx)] == [2, 1]
    with pytest.raises(KeyNotInForce):
        seal(store, signing_key(), "evd_3")


class Impostor(BaseHTTPRequestHandler):
    """Something that speaks a little of Vault's language."""

    answer: Callable[[str], tuple[int, bytes]]

    def do_GET(self) -> None:
        self._say(*type(self).answer("GET"))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(*type(self).answer("POST"))

    def _say(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Location", "http://127.0.0.1:9/")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: Any) -> None:
        """Tests are quiet."""


def said_by(answer: Callable[[str], tuple[int, bytes]]) -> Callable[[], SigningKey]:
    class Answering(Impostor):
        pass

    Answering.answer = staticmethod(answer)
    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return lambda: opened(f"vault-transit:http://127.0.0.1:{server.server_port}/transit/key?version=1{TOKEN}")


PUBLIC = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (200, b"", SigningAnswerInvalid),
        (200, b"hello", SigningAnswerInvalid),
        (200, b"[]", SigningAnswerInvalid),
        (200, b"[" * 100_000, SigningAnswerInvalid),
        (200, b" " * (limits.SIGNING_ANSWER_BYTES_MAX + 1), SigningAnswerInvalid),
        (200, b'{"data":null}', SigningAnswerInvalid),
        (200, b'{"data":{}}', SigningRefused),
        (200, b'{"data":{"type":"ed25519","keys":{"1":{"public_key":7}}}}', SigningRefused),
        (200, b'{"data":{"type":"ed25519","keys":{"1":{"public_key":"AAAA"}}}}', SigningAnswerInvalid),
        (200, b'{"data":{"type":"ecdsa-p256","keys":{"1":{"public_key":"AAAA"}}}}', SigningAnswerInvalid),
        (204, b"", SigningRefused),
        (301, b"", SigningRefused),
        (400, b"", SigningRefused),
        (429, b"", SigningUnreachable),
        (503, b'{"errors":["Vault is sealed"]}', SigningUnreachable),
    ],
)
def test_what_is_no_answer_is_no_key(status: int, content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        said_by(lambda _: (status, content))()


@pytest.mark.parametrize("signature", ["", "vault:v1:", "vault:v2:AAAA", "vault:v1:" + base64.b64encode(bytes(64)).decode(), "vault:v1:AAA", 7, None])
def test_a_signature_that_is_not_the_pinned_keys_is_never_returned(signature: object) -> None:
    public = json.dumps({"data": {"type": "ed25519", "keys": {"1": {"public_key": PUBLIC}}}}).encode()
    signed = json.dumps({"data": {"signature": signature}}).encode()
    key = said_by(lambda method: (200, public if method == "GET" else signed))()
    with pytest.raises(SigningAnswerInvalid):
        key.sign(b"content")
