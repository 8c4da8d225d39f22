"""Checkpoints of real logs verify; everything that is not exactly one is refused with the reason."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import sigstore
from cryptography.hazmat.primitives.serialization import load_der_public_key

from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.errors import CheckpointConflicts, CheckpointInvalid, CheckpointUnsigned, CheckpointUnwitnessed, KeyInvalid, ProofInvalid
from stella_pipelines.evidence.keys.public import public_key
from stella_pipelines.evidence.log.checkpoints import Checkpoint, Cosignature, add_cosignatures, read_checkpoint, read_text, require_continues, write_checkpoint
from stella_pipelines.evidence.log.note_keys import log_key, read_vkey, sign_as_log, sign_as_witness, witness_key
from stella_pipelines.evidence.log.notes import NoteSignature, read_note, write_note
from stella_pipelines.evidence.log.tree import EMPTY_ROOT, consistency_proof
from stella_pipelines.evidence.merkle import SIZE_MAX
from tests.support.kept_tree import KeptTree, leaves_of
from tests.support.published_checkpoints import (
    CHECKPOINT,
    GO_SUM,
    GO_SUM_KEY,
    LOG_KEY,
    LOG_SIGNER,
    ORIGIN,
    PIXEL,
    PIXEL_KEY,
    REKOR_2025,
    REKOR_FIRST,
    REKOR_KEY,
    REKOR_WITH_A_TIME,
    SPECIFICATION,
    WITNESS,
    WITNESS_KEY,
    WITNESS_KEYS,
    WITNESS_SIGNER,
    WITNESSED,
    WITNESSED_AT_S,
    WITNESSED_KEY,
    EcdsaKey,
    ed25519_key,
    signed,
    witnessed,
)

ROOT = base64.b64encode(bytes(range(32))).decode()


def read(content: bytes | str, **more: Any) -> Any:
    content = content.encode() if isinstance(content, str) else content
    return read_checkpoint(content, **{"origin": ORIGIN, "log_keys": [LOG_KEY], "witness_keys": [WITNESS_KEY], **more})


@pytest.mark.parametrize(
    ("content", "vkey", "origin", "size"),
    [
        (GO_SUM, GO_SUM_KEY, "go.sum database tree", 6476701),
        (REKOR_FIRST, REKOR_KEY, "Rekor", 798034),
        (REKOR_WITH_A_TIME, REKOR_KEY, "rekor.sigstore.dev - 2605736670972794746", 21428036),
        (PIXEL, PIXEL_KEY, "DEFAULT", 10),
        (WITNESSED, WITNESSED_KEY, "arche2025h1.staging.ct.transparency.dev", 1432088532),
    ],
)
def test_checkpoints_of_real_logs_verify(content: str, vkey: str, origin: str, size: int) -> None:
    verified = read(content, origin=origin, log_keys=[read_vkey(vkey)])
    assert verified.checkpoint.size == size
    assert verified.log_key_ids == (read_vkey(vkey).public.key_id,)
    assert verified.checkpoint.text() == read_note(content.encode()).text


def test_signatures_of_real_witnesses_verify() -> None:
    keys = [read_vkey(key) for key in WITNESS_KEYS]
    verified = read(WITNESSED, origin=read_vkey(WITNESSED_KEY).name, log_keys=[read_vkey(WITNESSED_KEY)], witness_keys=keys, witnesses_min=4)
    assert [(cosignature.witness, cosignature.time_s) for cosignature in verified.cosignatures] == [(key.name, 1779573024) for key in keys]


def test_the_keys_that_sigstore_ships_have_the_hashes_that_it_ships() -> None:
    """Rekor's first log is ECDSA, its later ones are Ed25519: both kinds of key hash, from a package."""
    roots = sorted((Path(sigstore.__file__).parent / "_store").glob("*/trusted_root.json"))
    logs = [log for root in roots for log in json.loads(root.read_text(encoding="utf-8"))["tlogs"]]
    kinds = set()
    for log in logs:
        public = public_key(load_der_public_key(base64.b64decode(log["publicKey"]["rawBytes"])))
        key = log_key(log["baseUrl"].removeprefix("https://"), public.pem)
        assert key.key_hash == base64.b64decode(log["logId"]["keyId"])[:4]
        kinds.add(public.algorithm)
        if key.name == "log2025-1.rekor.sigstore.dev":
            assert read(REKOR_2025, origin=key.name, log_keys=[key]).checkpoint.size == 34356369
    assert kinds == {"ed25519", "ecdsa-p256"}


def test_the_specifications_example_is_read_but_nobody_knows_its_keys() -> None:
    assert read_text(read_note(SPECIFICATION.encode()).text) == Checkpoint(
        "example.com/behind-the-sofa", 20852163, read_text(SPECIFICATION.split("\n\n")[0] + "\n").root
    )
    with pytest.raises(CheckpointUnsigned):
        read(SPECIFICATION, origin="example.com/behind-the-sofa")


def test_a_checkpoint_is_written_and_read_again() -> None:
    verified = read(witnessed(), witnesses_min=1)
    assert verified.checkpoint == CHECKPOINT
    assert verified.log_key_ids == (LOG_SIGNER.key_id,)
    assert verified.cosignatures == (Cosignature(WITNESS, WITNESSED_AT_S, WITNESS_SIGNER.key_id),)


def test_an_ecdsa_key_signs_too_and_two_keys_may_sign_at_once() -> None:
    new = EcdsaKey()
    content = write_checkpoint(CHECKPOINT, [LOG_SIGNER, new])
    for keys in ([LOG_KEY], [log_key(ORIGIN, new.public_pem)], [LOG_KEY, log_key(ORIGIN, new.public_pem)]):
        assert read(content, log_keys=keys).log_key_ids == tuple(key.public.key_id for key in keys)


def test_extension_lines_are_read_within_bounds() -> None:
    lines = tuple("x" * 1024 for _ in range(16))
    checkpoint = Checkpoint(ORIGIN, 5, bytes(32), lines)
    assert read(write_checkpoint(checkpoint, [LOG_SIGNER])).checkpoint.extensions == lines
    for wrong in ((*lines, "x"), ("x" * 1025,), ("",), ("one", "", "two"), ("\x01",), ("\ud800",), ("one\ntwo", "")):
        with pytest.raises(CheckpointInvalid):
            write_checkpoint(Checkpoint(ORIGIN, 5, bytes(32), wrong), [LOG_SIGNER])


def test_an_empty_log_has_the_empty_root() -> None:
    assert read(signed(Checkpoint(ORIGIN, 0, EMPTY_ROOT))).checkpoint.size == 0
    with pytest.raises(CheckpointInvalid, match="empty log"):
        signed(Checkpoint(ORIGIN, 0, bytes(32)))


@pytest.mark.parametrize("size", [1, 9, 10, 2**32, SIZE_MAX])
def test_sizes_up_to_the_largest_are_read(size: int) -> None:
    assert read(signed(Checkpoint(ORIGIN, size, bytes(32)))).checkpoint.size == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n5\n",
        f"\n5\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n5\n\n",
        f"{ORIGIN}\n5\n{ROOT}",
        f"{ORIGIN}\n5\n{ROOT}\n\n",
        f"{'x' * 256}\n5\n{ROOT}\n",
        *(f"{ORIGIN}\n{size}\n{ROOT}\n" for size in ("05", "00", "+5", "-5", " 5", "5 ", "5.0", "0x5", "1_0", "٥", "²", "1e3", str(2**63), "9" * 5000)),
        f"{ORIGIN}\n5\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n5\n{ROOT.rstrip('=')}\n",
        f"{ORIGIN}\n5\n{ROOT}=\n",
        f"{ORIGIN}\n5\n {ROOT}\n",
        f"{ORIGIN}\n5\n{ROOT[:-2]}9=\n",  # bits that the decoder drops
        f"{ORIGIN}\n5\n{base64.b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n5\n{base64.b64encode(bytes(33)).decode()}\n",
        f"{ORIGIN}\n5\n{bytes(32).hex()}\n",
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused_even_if_it_is_signed(text: str) -> None:
    with pytest.raises(CheckpointInvalid):
        read_text(text)
    if text.endswith("\n") and text != "\n":
        with pytest.raises(CheckpointInvalid):
            read(f"{text}\n{sign_as_log(ORIGIN, LOG_SIGNER, text).line()}")


def test_a_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(CheckpointInvalid, match="another"):
        read(signed(), origin="another.example")


def test_a_name_that_no_key_can_have_cannot_sign() -> None:
    with pytest.raises(KeyInvalid):
        signed(Checkpoint("with space", 5, bytes(32)))


def test_a_checkpoint_needs_a_signature_to_be_written() -> None:
    with pytest.raises(CheckpointInvalid):
        write_checkpoint(CHECKPOINT, [])


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [log_key(ORIGIN, ed25519_key(1).public_pem)],
        [log_key("another.example", LOG_SIGNER.public_pem)],
    ],
)
def test_without_a_known_key_of_the_log_it_is_unsigned(keys: list[Any]) -> None:
    with pytest.raises(CheckpointUnsigned) as caught:
        read(witnessed(), log_keys=keys)
    assert caught.value.code == "EVID_CHECKPOINT_UNSIGNED"


def test_a_witness_alone_does_not_make_a_checkpoint() -> None:
    line = sign_as_witness(WITNESS, WITNESS_SIGNER, CHECKPOINT.text(), 1).line()
    with pytest.raises(CheckpointUnsigned):
        read(f"{CHECKPOINT.text()}\n{line}")


def test_a_witnesss_key_does_not_sign_for_the_log_nor_the_other_way_round() -> None:
    """The same key and name: the hash and the message tell the kinds apart."""
    as_witness = sign_as_witness(ORIGIN, LOG_SIGNER, CHECKPOINT.text(), 1)
    with pytest.raises(CheckpointUnsigned):
        read(write_note(CHECKPOINT.text(), [as_witness]))
    stolen = NoteSignature(*LOG_KEY.by, as_witness.signature[8:])
    with pytest.raises(CheckpointInvalid):
        read(write_note(CHECKPOINT.text(), [stolen]))
    turned = NoteSignature(*WITNESS_KEY.by, bytes(8) + WITNESS_SIGNER.sign(CHECKPOINT.text().encode()))
    with pytest.raises(CheckpointInvalid):
        read(add_cosignatures(signed(), turned.line()))


def test_unknown_signatures_are_passed_over() -> None:
    stranger = NoteSignature("stranger.example", b"\1\2\3\4", b"whatever it is")
    same_name = NoteSignature(ORIGIN, b"\1\2\3\4", b"whatever it is")
    same_hash = NoteSignature("stranger.example", LOG_KEY.key_hash, b"whatever it is")
    content = add_cosignatures(witnessed(), stranger.line() + same_name.line() + same_hash.line())
    assert len(read_note(content).signatures) == 5
    assert read(content) == read(witnessed())


@pytest.mark.parametrize("signer", [LOG_KEY, WITNESS_KEY])
@pytest.mark.parametrize("signature", [b"\0", bytes(8), bytes(64), bytes(72), b"\xff" * 72, bytes(5000)])
def test_a_wrong_signature_by_a_known_key_refuses_the_whole(signer: Any, signature: bytes) -> None:
    with pytest.raises(CheckpointInvalid):
        read(add_cosignatures(witnessed(), NoteSignature(*signer.by, signature).line()))


@pytest.mark.parametrize("place", [0, 1])
def test_a_second_signature_by_one_key_refuses_the_whole(place: int) -> None:
    note = read_note(witnessed())
    with pytest.raises(CheckpointInvalid, match="twice"):
        read(write_note(note.text, [*note.signatures, note.signatures[place]]))


def test_a_time_beyond_63_bits_is_refused() -> None:
    time_s = 2**63
    message = f"cosignature/v1\ntime {time_s}\n{CHECKPOINT.text()}".encode()
    line = NoteSignature(*WITNESS_KEY.by, time_s.to_bytes(8) + WITNESS_SIGNER.sign(message)).line()
    with pytest.raises(CheckpointInvalid, match="out of range"):
        read(add_cosignatures(signed(), line))


def test_as_many_witnesses_as_asked_for_must_have_signed() -> None:
    with pytest.raises(CheckpointUnwitnessed) as caught:
        read(witnessed(), witnesses_min=2)
    assert caught.value.code == "EVID_CHECKPOINT_UNWITNESSED"
    with pytest.raises(CheckpointUnwitnessed):
        read(witnessed(), witness_keys=[], witnesses_min=1)


def test_a_witness_with_two_keys_is_one_witness() -> None:
    second = ed25519_key(30)
    content = add_cosignatures(witnessed(), sign_as_witness(WITNESS, second, CHECKPOINT.text(), 5).line())
    keys = [WITNESS_KEY, witness_key(WITNESS, second.public_pem)]
    assert len(read(content, witness_keys=keys).cosignatures) == 2
    with pytest.raises(CheckpointUnwitnessed):
        read(content, witness_keys=keys, witnesses_min=2)


def test_a_newer_cosignature_takes_the_place_of_the_older() -> None:
    content = add_cosignatures(witnessed(), sign_as_witness(WITNESS, WITNESS_SIGNER, CHECKPOINT.text(), WITNESSED_AT_S + 60).line())
    assert [cosignature.time_s for cosignature in read(content).cosignatures] == [WITNESSED_AT_S + 60]


@pytest.mark.parametrize("lines", ["", "\n", "no line\n", "— name AAAA", f"— name {ROOT}\n\n— name {ROOT}\n"])
def test_what_a_witness_must_not_answer_is_refused(lines: str) -> None:
    with pytest.raises(CheckpointInvalid):
        add_cosignatures(signed(), lines)


@pytest.mark.parametrize(
    "keys",
    [
        {"log_keys": [WITNESS_KEY]},
        {"witness_keys": [LOG_KEY]},
        {"witness_keys": [witness_key(WITNESS, LOG_SIGNER.public_pem)]},
    ],
)
def test_a_key_has_one_role(keys: dict[str, Any]) -> None:
    with pytest.raises(KeyInvalid):
        read(witnessed(), **keys)


def test_a_key_that_is_given_twice_is_one_key() -> None:
    assert read(witnessed(), log_keys=[LOG_KEY, LOG_KEY]) == read(witnessed())


LEAVES = leaves_of(40)
TREE = KeptTree(LEAVES)


def at(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, KeptTree(LEAVES[:size]).range.root())


@pytest.mark.parametrize(("old", "new"), [(1, 40), (8, 9), (17, 40), (40, 40)])
def test_a_grown_log_continues(old: int, new: int) -> None:
    assert require_continues(at(old), at(new), consistency_proof(old, new, TREE.read)) is None


def test_everything_continues_nothing_but_without_a_proof() -> None:
    assert require_continues(Checkpoint(ORIGIN, 0, EMPTY_ROOT), at(40), []) is None
    for wrong in ([bytes(32)], None, "", b""):
        with pytest.raises(ProofInvalid):
            require_continues(Checkpoint(ORIGIN, 0, EMPTY_ROOT), at(40), wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("older", "newer", "error"),
    [
        (at(9), at(8), CheckpointConflicts),
        (at(9), Checkpoint(ORIGIN, 9, bytes(32)), CheckpointConflicts),
        (at(9), Checkpoint("another.example", 9, at(9).root), CheckpointConflicts),
        (at(9), Checkpoint(ORIGIN, 10, bytes(32)), ProofInvalid),
        (at(9), at(10), ProofInvalid),
    ],
)
def test_what_does_not_continue_is_refused(older: Checkpoint, newer: Checkpoint, error: type[StellaError]) -> None:
    with pytest.raises(error):
        require_continues(older, newer, [])
