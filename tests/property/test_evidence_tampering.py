"""No changed packet is ever accepted, and every refusal is one of the documented errors."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.errors import PacketRefused
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.verify import verify_packet
from tests.support.evidence import genuine_packet, p256_key, signing_key

PUBLIC = [signing_key().public_pem]
GENUINE = genuine_packet()
POSITIONS = st.integers(0, len(GENUINE) - 1)
P256 = p256_key()


def refused(content: bytes) -> None:
    assert content != GENUINE
    with pytest.raises(PacketRefused) as caught:
        verify_packet(content, PUBLIC)
    assert caught.value.code.startswith("EVID_")


@pytest.mark.parametrize("bit", range(8))
def test_flipping_any_bit_of_any_byte_is_refused(bit: int) -> None:
    assert verify_packet(GENUINE, PUBLIC).kind == "decision"
    for position in range(len(GENUINE)):
        content = bytearray(GENUINE)
        content[position] ^= 1 << bit
        refused(bytes(content))


@pytest.mark.parametrize("bit", range(8))
def test_flipping_any_bit_of_a_packet_sealed_by_a_p256_key_is_refused(bit: int) -> None:
    genuine, ring = genuine_packet(P256), KeyRing.of([P256.public_pem])
    assert verify_packet(genuine, ring).key_id == P256.key_id
    for position in range(len(genuine)):
        content = bytearray(genuine)
        content[position] ^= 1 << bit
        with pytest.raises(PacketRefused):
            verify_packet(bytes(content), ring)


@settings(deadline=None, max_examples=300)
@given(position=POSITIONS, byte=st.integers(0, 255))
def test_replacing_any_byte_by_any_other_is_refused(position: int, byte: int) -> None:
    if GENUINE[position] != byte:
        refused(GENUINE[:position] + bytes([byte]) + GENUINE[position + 1 :])


@settings(deadline=None)
@given(start=POSITIONS, length=st.integers(1, 40), put=st.binary(max_size=40))
def test_cutting_out_and_putting_in_is_refused(start: int, length: int, put: bytes) -> None:
    content = GENUINE[:start] + put + GENUINE[start + length :]
    if content != GENUINE:
        refused(content)


@settings(deadline=None)
@given(first=POSITIONS, second=POSITIONS)
def test_swapping_two_bytes_is_refused(first: int, second: int) -> None:
    content = bytearray(GENUINE)
    content[first], content[second] = content[second], content[first]
    if bytes(content) != GENUINE:
        refused(bytes(content))


@settings(deadline=None)
@given(content=st.binary(max_size=2000))
@example(content=b"")
def test_noise_is_refused(content: bytes) -> None:
    refused(content)


@settings(deadline=None, max_examples=200)
@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
        max_leaves=20,
    ).map(lambda value: repr(value).encode())
    | st.binary(max_size=300)
)
def test_a_payload_that_is_signed_but_no_statement_is_refused(payload: bytes) -> None:
    if payload:
        refused(write_envelope(payload, signing_key()))
