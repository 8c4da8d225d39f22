"""No changed checkpoint passes for the one that was signed, and every refusal is one of the documented errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stella_pipelines.evidence.errors import CheckpointInvalid, CheckpointUnsigned, CheckpointUnwitnessed, KeyInvalid
from stella_pipelines.evidence.log.checkpoints import Checkpoint, read_checkpoint, read_text, write_checkpoint
from stella_pipelines.evidence.log.note_keys import read_vkey
from stella_pipelines.evidence.log.notes import read_note, write_base64, write_note
from tests.support.published_checkpoints import CHECKPOINT, LOG_KEY, LOG_SIGNER, ORIGIN, WITNESS_KEY, witnessed

GENUINE = witnessed()
POSITIONS = st.integers(0, len(GENUINE) - 1)


def refused(content: bytes) -> None:
    """With the witness asked for, every byte of the checkpoint counts."""
    assert content != GENUINE
    with pytest.raises((CheckpointInvalid, CheckpointUnsigned, CheckpointUnwitnessed)):
        read_checkpoint(content, origin=ORIGIN, log_keys=[LOG_KEY], witness_keys=[WITNESS_KEY], witnesses_min=1)


def never_another(content: bytes) -> None:
    """With no witness asked for, a changed witness line may be passed over as a stranger's; the log's word is never another."""
    try:
        verified = read_checkpoint(content, origin=ORIGIN, log_keys=[LOG_KEY], witness_keys=[WITNESS_KEY])
    except (CheckpointInvalid, CheckpointUnsigned):
        return
    assert verified.checkpoint == CHECKPOINT
    assert verified.cosignatures == ()


def test_the_genuine_one_is_taken() -> None:
    verified = read_checkpoint(GENUINE, origin=ORIGIN, log_keys=[LOG_KEY], witness_keys=[WITNESS_KEY], witnesses_min=1)
    assert verified.checkpoint == CHECKPOINT


@pytest.mark.parametrize("bit", range(8))
def test_flipping_any_bit_of_any_byte_is_refused(bit: int) -> None:
    for position in range(len(GENUINE)):
        content = GENUINE[:position] + bytes([GENUINE[position] ^ 1 << bit]) + GENUINE[position + 1 :]
        refused(content)
        never_another(content)


def _cut() -> Iterator[bytes]:
    for position in range(len(GENUINE)):
        yield GENUINE[:position]
        yield GENUINE[position + 1 :]
        yield GENUINE[:position] + GENUINE[position + 1 :]


def test_cutting_off_the_end_or_the_beginning_or_leaving_out_any_byte_is_refused() -> None:
    for content in _cut():
        refused(content)
        never_another(content)


@pytest.mark.parametrize("byte", [b"\n", b" ", b"=", b"A", b"\0", b"\xff", "—".encode(), b"0"])
def test_inserting_a_byte_anywhere_is_refused(byte: bytes) -> None:
    for position in range(len(GENUINE) + 1):
        content = GENUINE[:position] + byte + GENUINE[position:]
        refused(content)
        never_another(content)


@settings(deadline=None, max_examples=300)
@given(start=POSITIONS, length=st.integers(0, 90), put=st.binary(max_size=90))
def test_cutting_out_and_putting_in_is_refused(start: int, length: int, put: bytes) -> None:
    content = GENUINE[:start] + put + GENUINE[start + length :]
    if content != GENUINE:
        refused(content)
        never_another(content)


@settings(deadline=None, max_examples=300)
@given(content=st.binary(max_size=600) | st.text(max_size=600).map(lambda text: text.encode("utf-8", "replace")))
@example(content=b"")
def test_noise_is_refused(content: bytes) -> None:
    refused(content)


LINES = st.text(st.sampled_from("—\n +=0123456789abcABC/éd\u2028"), max_size=60)


@settings(deadline=None, max_examples=300)
@given(text=LINES, lines=LINES)
def test_what_looks_like_a_note_is_read_to_the_same_bytes_or_refused(text: str, lines: str) -> None:
    content = f"{text}\n\n— {lines}\n".encode()
    try:
        note = read_note(content)
    except CheckpointInvalid:
        return
    assert write_note(note.text, note.signatures) == content


@settings(deadline=None, max_examples=300)
@given(
    origin=st.text(max_size=30), size=st.text(st.sampled_from("0123456789+-_ \n"), max_size=21), root=st.binary(max_size=40), more=st.lists(st.text(max_size=9))
)
def test_a_text_has_one_spelling(origin: str, size: str, root: bytes, more: list[str]) -> None:
    text = "".join(f"{line}\n" for line in (origin, size, write_base64(root), *more))
    try:
        checkpoint = read_text(text)
    except CheckpointInvalid:
        return
    assert checkpoint.text() == text


@settings(deadline=None, max_examples=200)
@given(origin=st.text(max_size=20), size=st.integers(-5, 2**64), root=st.binary(min_size=30, max_size=34), more=st.lists(st.text(max_size=9), max_size=3))
def test_what_is_written_can_be_read_and_everything_else_is_refused(origin: str, size: int, root: bytes, more: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(more))
    try:
        content = write_checkpoint(checkpoint, [LOG_SIGNER])
    except (CheckpointInvalid, KeyInvalid):
        return
    key = type(LOG_KEY)(origin, LOG_KEY.type, LOG_KEY.public, LOG_KEY.material)
    assert read_checkpoint(content, origin=origin, log_keys=[key]).checkpoint == checkpoint


@settings(deadline=None, max_examples=300)
@given(text=st.text(max_size=120) | LINES.map(lambda text: f"name+00000000+{text}"))
def test_noise_is_no_verifier_key(text: str) -> None:
    with pytest.raises(KeyInvalid):
        read_vkey(text)
