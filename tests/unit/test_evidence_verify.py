"""Verification: the genuine packet passes, and each way of not being one has its own error."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from stella_pipelines.core import limits
from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import errors
from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.statement import DEPTH_MAX
from stella_pipelines.evidence.verify import verify_packet
from tests.support.evidence import RELEASE, SEAL, genuine_packet, genuine_payload, signing_key

KEY = signing_key()
PUBLIC = [KEY.public_pem]
GENUINE = genuine_packet()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The genuine envelope with a change to its document, written canonically again."""
    document = json.loads(GENUINE)
    change(document)
    return canonical_json(document)


def sealed(payload: bytes) -> bytes:
    """Any payload, properly signed: what only the holder of the key can make."""
    return write_envelope(payload, KEY)


def test_a_genuine_packet_is_verified() -> None:
    packet = verify_packet(GENUINE, PUBLIC)
    assert packet.statement.subject == (RELEASE,)
    assert (packet.kind, packet.seal, packet.key_id, packet.packet_digest) == ("decision", SEAL, KEY.key_id, Digest.of(GENUINE))


def test_the_signature_is_plain_dsse() -> None:
    """Checked with nothing of ours: the DSSE pre-authentication encoding by hand, and a bare Ed25519 verification."""
    envelope = json.loads(GENUINE)
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    key = load_pem_public_key(KEY.public_pem)
    assert isinstance(key, Ed25519PublicKey)
    assert key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), encoded) is None


def test_the_right_key_may_be_one_of_many() -> None:
    assert verify_packet(GENUINE, [signing_key(2).public_pem, *PUBLIC]).key_id == KEY.key_id


def test_another_key_or_none_is_unknown() -> None:
    for keys in ([], [signing_key(2).public_pem]):
        with pytest.raises(errors.KeyUnknown, match=KEY.key_id):
            verify_packet(GENUINE, keys)


def test_every_signature_must_be_by_a_given_key() -> None:
    stranger = json.loads(genuine_packet(signing_key(2)))["signatures"][0]
    both = changed(lambda document: document.update(signatures=sorted([*document["signatures"], stranger], key=lambda one: str(one["keyid"]))))
    with pytest.raises(errors.KeyUnknown):
        verify_packet(both, PUBLIC)
    assert verify_packet(both, [*PUBLIC, signing_key(2).public_pem]).key_id == min(KEY.key_id, signing_key(2).key_id)


def test_two_signatures_have_one_order() -> None:
    """Both orders are valid signatures of the same statement; as two spellings they would be two packets with two digests."""
    pair = [json.loads(genuine_packet(signing_key(seed)))["signatures"][0] for seed in (1, 2)]
    keys = [signing_key(seed).public_pem for seed in (1, 2)]
    ordered = sorted(pair, key=lambda one: str(one["keyid"]))
    assert verify_packet(changed(lambda document: document.update(signatures=ordered)), keys).kind == "decision"
    with pytest.raises(errors.PacketNotCanonical):
        verify_packet(changed(lambda document: document.update(signatures=ordered[::-1])), keys)


def test_a_file_with_two_keys_is_refused_and_not_half_read() -> None:
    with pytest.raises(errors.KeyInvalid):
        verify_packet(GENUINE, [KEY.public_pem + signing_key(2).public_pem])


def test_the_deepest_packet_that_can_be_sealed_can_be_verified_and_no_deeper_one() -> None:
    """Fixed by us, so that it does not depend on how much of its stack a reader has used up."""

    def nested(levels: int) -> object:
        return [nested(levels - 1)] if levels else "bottom"

    assert verify_packet(genuine_packet(evidence=nested(DEPTH_MAX - 2)), PUBLIC).kind == "decision"
    with pytest.raises(errors.PredicateInvalid):
        genuine_packet(evidence=nested(DEPTH_MAX - 1))


def test_a_signature_of_something_else_is_invalid() -> None:
    other = json.loads(genuine_packet(kind="rollback"))["signatures"]
    with pytest.raises(errors.SignatureInvalid):
        verify_packet(changed(lambda document: document.update(signatures=other)), PUBLIC)


def test_a_key_id_does_not_vouch_for_a_key() -> None:
    """A stranger signs, and writes our key's id beside it."""
    forged = json.loads(genuine_packet(signing_key(2)))
    forged["signatures"][0]["keyid"] = KEY.key_id
    with pytest.raises(errors.SignatureInvalid):
        verify_packet(canonical_json(forged), PUBLIC)


def test_a_reformatted_envelope_is_named_as_such() -> None:
    for text in (json.dumps(json.loads(GENUINE), indent=2).encode(), GENUINE + b"\n", b" " + GENUINE):
        with pytest.raises(errors.PacketNotCanonical):
            verify_packet(text, PUBLIC)


def spare_bits(text: str) -> str:
    """The same bytes in another spelling: base64's unused last bits set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stem = text.rstrip("=")
    return stem[:-1] + alphabet[alphabet.index(stem[-1]) + 1] + "=" * (len(text) - len(stem))


def test_another_spelling_of_the_same_base64_is_refused() -> None:
    def respell(document: dict[str, Any]) -> None:
        signature = document["signatures"][0]
        assert base64.b64decode(spare_bits(signature["sig"])) == base64.b64decode(signature["sig"])
        signature["sig"] = spare_bits(signature["sig"])

    with pytest.raises(errors.PacketNotCanonical):
        verify_packet(changed(respell), PUBLIC)


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello",
    "null": b"null",
    "a list": b"[]",
    "truncated": GENUINE[:-1],
    "half": GENUINE[: len(GENUINE) // 2],
    "twice": GENUINE * 2,
    "not UTF-8": b"\xff\xfe" + GENUINE,
    "deep": b"[" * 50_000 + b"]" * 50_000,
    "deep and broken": b'{"payload":' * 10_000,
    "no signature": changed(lambda document: document.update(signatures=[])),
    "another payload type": changed(lambda document: document.update(payloadType="text/plain")),
    "one member more": changed(lambda document: document.update(more=1)),
    "one member less": changed(lambda document: document.pop("payloadType")),
    "the same signature twice": changed(lambda document: document["signatures"].append(document["signatures"][0])),
    "nine signatures": changed(lambda document: document["signatures"].extend(document["signatures"] * 8)),
    "a short signature": changed(lambda document: document["signatures"][0].update(sig="AAAA")),
    "an empty payload": changed(lambda document: document.update(payload="")),
    "half a surrogate pair as a name": GENUINE[:-1] + b',"\\udfff":1}',
    "broken base64": changed(lambda document: document.update(payload=document["payload"].rstrip("=") + "A====")),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_packet_is_malformed(content: bytes) -> None:
    with pytest.raises(errors.PacketMalformed):
        verify_packet(content, PUBLIC)


SIGNED_NONSENSE: dict[str, tuple[bytes, type[errors.PacketRefused]]] = {
    "not JSON": (b"hello", errors.PacketMalformed),
    "not UTF-8": (b"\xff", errors.PacketMalformed),
    "NaN": (genuine_payload().replace(b'"allow"', b"NaN"), errors.PacketMalformed),
    "a number beyond doubles": (genuine_payload().replace(b'"allow"', b"1e999"), errors.PacketMalformed),
    "a key twice": (genuine_payload().replace(b'"outcome":"allow"', b'"outcome":"allow","outcome":"deny"'), errors.PacketMalformed),
    "deep": (b"[" * 50_000 + b"]" * 50_000, errors.PacketMalformed),
    "spaces": (json.dumps(json.loads(genuine_payload())).encode(), errors.PacketNotCanonical),
    "not a statement": (b'{"a":1}', errors.PacketMalformed),
    "a list": (b"[]", errors.PacketMalformed),
    "another in-toto version": (genuine_payload().replace(b"Statement/v1", b"Statement/v2"), errors.PacketMalformed),
    "a digest that is none": (genuine_payload().replace(RELEASE.digest.hex.encode(), b"00"), errors.PacketMalformed),
    "a digest in another form": (
        genuine_payload().replace(b'{"sha256":"%s"}' % RELEASE.digest.hex.encode(), b'"%s"' % RELEASE.digest.encode()),
        errors.PacketMalformed,
    ),
    "no seal": (genuine_payload().replace(b'"seal"', b'"sear"'), errors.PacketMalformed),
    "a seal without a number": (genuine_payload().replace(b'"sequence":1', b'"sequence":0'), errors.PacketMalformed),
    "another form": (genuine_payload().replace(b'"version":1', b'"version":2'), errors.PacketMalformed),
    "a seal's time in another zone": (genuine_payload().replace(b"09:00:00.000000Z", b"10:00:00.000000+01:00"), errors.PacketMalformed),
    "a seal's time as a number": (genuine_payload().replace(b'"2026-01-31T09:00:00.000000Z"', b"1769850000"), errors.PacketMalformed),
    "a seal without a stream": (genuine_payload().replace(b'"stream":"environment/prod"', b'"stream":""'), errors.PacketMalformed),
    "a version that is no number": (genuine_payload().replace(b'"version":1', b'"version":true'), errors.PacketMalformed),
    "a name that moves the cursor": (genuine_payload().replace(b"shop-1.0.0", b"shop-\\u001b[2J"), errors.PacketMalformed),
    "a name with a NUL": (genuine_payload().replace(b"shop-1.0.0", b"shop-\\u0000"), errors.PacketMalformed),
    "a name that reads backwards": (genuine_payload().replace(b"shop-1.0.0", "shop-\u202e0.0.1".encode()), errors.PacketMalformed),
    "half a surrogate pair": (genuine_payload().replace(b"shop-1.0.0", b"shop-\\ud800"), errors.PacketMalformed),
    "deep, but not for a JSON reader": (genuine_payload().replace(b'"allow"', b"[" * 300 + b"]" * 300), errors.PacketMalformed),
    "an unknown kind": (genuine_payload().replace(b"predicates/decision/v1", b"predicates/decision/v9"), errors.KindUnknown),
}


@pytest.mark.parametrize(("payload", "error"), SIGNED_NONSENSE.values(), ids=SIGNED_NONSENSE.keys())
def test_a_signature_does_not_make_nonsense_a_packet(payload: bytes, error: type[errors.PacketRefused]) -> None:
    assert payload != genuine_payload()
    with pytest.raises(error):
        verify_packet(sealed(payload), PUBLIC)


@pytest.mark.parametrize("size", [limits.PACKET_BYTES_MAX, limits.PACKET_BYTES_MAX + 1, 20 * 1024 * 1024])
def test_a_large_file_of_zeros_is_refused_at_once(size: int) -> None:
    started = time.monotonic()
    with pytest.raises(errors.PacketTooLarge if size > limits.PACKET_BYTES_MAX else errors.PacketMalformed):
        verify_packet(bytes(size), PUBLIC)
    assert time.monotonic() - started < 2


def test_a_large_envelope_is_judged_in_linear_time() -> None:
    head, tail = GENUINE.split(b'","payloadType"')
    started = time.monotonic()
    with pytest.raises(errors.PacketMalformed):
        verify_packet(head + b"A" * 15_000_000 + b'","payloadTypo"' + tail, PUBLIC)
    assert time.monotonic() - started < 5


def test_verification_needs_no_database() -> None:
    program = "import sys, stella_pipelines.evidence.verify; sys.exit(any(name.split('.')[0] in ('sqlalchemy', 'alembic', 'psycopg2') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_verification_opens_no_socket_and_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    watching = [True]
    sys.addaudithook(lambda event, _: opened.append(event) if watching[0] and event in ("open", "socket.connect", "socket.getaddrinfo") else None)
    assert verify_packet(GENUINE, PUBLIC).kind == "decision"
    watching[0] = False
    assert opened == []
