"""A signature has one form: whoever has no key cannot write a valid one anew, with other bytes and so another packet digest."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.evidence.errors import PacketRefused, SignatureInvalid
from stella_pipelines.evidence.keys.public import load_public_key
from stella_pipelines.evidence.keys.signatures import P256_ORDER, exact_ecdsa, is_exact
from stella_pipelines.evidence.verify import verify_packet
from tests.support.evidence import genuine_packet, p256_key, signing_key

KEY = p256_key()
PUBLIC = load_public_key(KEY.public_pem)
CONTENT = b"content"
NUMBERS = st.integers(0, P256_ORDER + 5)


def by_openssl(signature: bytes) -> bool:
    """Whether the library alone accepts it: then only our rule about the form refuses it."""
    key = load_pem_public_key(KEY.public_pem)
    assert isinstance(key, EllipticCurvePublicKey)
    try:
        key.verify(signature, CONTENT, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def high(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, P256_ORDER - s)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=100))
def test_what_a_key_signs_is_in_the_one_form(content: bytes) -> None:
    signature = KEY.sign(content)
    assert is_exact("ecdsa-p256", signature)
    PUBLIC.verify(signature, content)
    assert not is_exact("ecdsa-p256", high(signature))


def test_the_other_s_is_a_valid_signature_elsewhere_and_refused_here() -> None:
    other = high(KEY.sign(CONTENT))
    assert by_openssl(other)
    with pytest.raises(SignatureInvalid, match="one form"):
        PUBLIC.verify(other, CONTENT)
    PUBLIC.verify(exact_ecdsa(other), CONTENT)


def test_a_packet_with_the_other_s_is_refused() -> None:
    document = json.loads(genuine_packet(KEY))
    signature = base64.b64decode(document["signatures"][0]["sig"])
    document["signatures"][0]["sig"] = base64.b64encode(high(signature)).decode()
    with pytest.raises(SignatureInvalid):
        verify_packet(canonical_json(document), [KEY.public_pem])


def respelled(signature: bytes) -> dict[str, bytes]:
    length, r_length = signature[1], signature[3]
    r, s = signature[4 : 4 + r_length], signature[6 + r_length :]
    inner = signature[2:]
    return {
        "a long length": b"\x30\x81" + signature[1:],
        "an endless length": b"\x30\x80" + inner + b"\x00\x00",
        "a leading zero": b"\x30" + bytes([length + 1, 2, r_length + 1]) + b"\x00" + r + signature[4 + r_length :],
        "something behind": signature + b"\x00",
        "something inside": b"\x30" + bytes([length + 2]) + inner + b"\x05\x00",
        "no sign byte": b"\x30" + bytes([4 + len(r.lstrip(b"\0")) + len(s), 2, len(r.lstrip(b"\0"))]) + r.lstrip(b"\0") + signature[4 + r_length :],
        "raw numbers": b"".join(number.to_bytes(32) for number in decode_dss_signature(signature)),
        "empty": b"",
    }


def test_other_der_of_the_same_numbers_is_refused() -> None:
    signature = next(one for one in (KEY.sign(CONTENT) for _ in range(1000)) if one[4] == 0)  # r has a sign byte to leave out
    for name, other in respelled(signature).items():
        assert other != signature, name
        with pytest.raises(SignatureInvalid):
            PUBLIC.verify(other, CONTENT)


@settings(deadline=None, max_examples=300)
@given(NUMBERS | st.sampled_from([0, 1, P256_ORDER, P256_ORDER - 1]), NUMBERS | st.sampled_from([0, 1, P256_ORDER // 2, P256_ORDER // 2 + 1, P256_ORDER]))
def test_only_numbers_in_their_range_are_a_signature(r: int, s: int) -> None:
    assert is_exact("ecdsa-p256", encode_dss_signature(r, s)) is (0 < r < P256_ORDER and 0 < s <= P256_ORDER // 2)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=80))
def test_noise_is_no_signature_and_no_accident(noise: bytes) -> None:
    for public in (PUBLIC, load_public_key(signing_key().public_pem)):
        with pytest.raises(SignatureInvalid):
            public.verify(noise, CONTENT)
    assert isinstance(exact_ecdsa(noise), bytes)


def test_signatures_of_one_kind_do_not_pass_for_the_other() -> None:
    ed25519, p256 = json.loads(genuine_packet(signing_key())), json.loads(genuine_packet(KEY))
    for mine, other in ((ed25519, p256), (p256, ed25519)):
        mixed = {**mine, "signatures": [{**mine["signatures"][0], "sig": other["signatures"][0]["sig"]}]}
        with pytest.raises(PacketRefused):
            verify_packet(canonical_json(mixed), [signing_key().public_pem, KEY.public_pem])


def test_the_tests_key_is_the_one_it_should_be() -> None:
    assert derive_private_key(1, SECP256R1()).public_key() == load_pem_public_key(KEY.public_pem)
