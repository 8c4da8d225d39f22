"""A witness signs only a log that grew."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stella_pipelines.evidence.errors import CheckpointConflicts, KeyInvalid, ProofInvalid
from stella_pipelines.evidence.log.checkpoints import Checkpoint, VerifiedCheckpoint, add_cosignatures, read_checkpoint
from stella_pipelines.evidence.log.notes import read_signature_lines
from stella_pipelines.evidence.log.tree import EMPTY_ROOT, consistency_proof
from stella_pipelines.evidence.log.witness import cosign
from tests.support.kept_tree import KeptTree, leaves_of
from tests.support.published_checkpoints import LOG_KEY, LOG_SIGNER, ORIGIN, WITNESS, WITNESS_KEY, WITNESS_SIGNER, signed

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
LEAVES = leaves_of(100)
TREE = KeptTree(LEAVES)


def at(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint(ORIGIN, size, KeptTree(leaves[:size]).range.root() if size else EMPTY_ROOT)


def verified(checkpoint: Checkpoint) -> VerifiedCheckpoint:
    return read_checkpoint(signed(checkpoint), origin=ORIGIN, log_keys=[LOG_KEY])


def ask(last_seen: Checkpoint | None, checkpoint: Checkpoint, proof: list[bytes]) -> str:
    return cosign(last_seen, verified(checkpoint), proof, name=WITNESS, key=WITNESS_SIGNER, now=NOW)


@pytest.mark.parametrize(
    ("last_seen", "size", "proof"),
    [
        (None, 64, []),
        (None, 0, []),
        (at(0), 64, []),
        (at(64), 64, []),
        (at(1), 100, consistency_proof(1, 100, TREE.read)),
        (at(63), 64, consistency_proof(63, 64, TREE.read)),
    ],
)
def test_a_grown_log_is_signed_with_the_time(last_seen: Checkpoint | None, size: int, proof: list[bytes]) -> None:
    line = ask(last_seen, at(size), proof)
    assert [signature.by for signature in read_signature_lines(line)] == [WITNESS_KEY.by]
    read = read_checkpoint(add_cosignatures(signed(at(size)), line), origin=ORIGIN, log_keys=[LOG_KEY], witness_keys=[WITNESS_KEY], witnesses_min=1)
    assert read.checkpoint == at(size)
    assert [(cosignature.witness, cosignature.time_s) for cosignature in read.cosignatures] == [(WITNESS, int(NOW.timestamp()))]


@pytest.mark.parametrize("size", [0, 1, 63])
def test_a_smaller_log_is_not_signed(size: int) -> None:
    with pytest.raises(CheckpointConflicts, match="was seen with 64"):
        ask(at(64), at(size), [])


def test_another_history_of_the_same_size_is_not_signed() -> None:
    with pytest.raises(CheckpointConflicts, match="two histories"):
        ask(at(64), at(64, leaves_of(101)[1:]), [])


def test_another_log_is_not_signed() -> None:
    with pytest.raises(CheckpointConflicts, match="two logs"):
        ask(Checkpoint("another.example", 64, at(64).root), at(64), [])


def test_a_rewritten_history_finds_no_proof() -> None:
    """The log changed its tenth entry; whatever proof it gives, of the true or of the false tree, it does not hold."""
    changed = [*LEAVES[:10], LEAVES[11], *LEAVES[11:]]
    false = KeptTree(changed)
    for proof in (consistency_proof(64, 100, TREE.read), consistency_proof(64, 100, false.read), []):
        with pytest.raises(ProofInvalid):
            ask(at(64), at(100, changed), proof)


@pytest.mark.parametrize("last_seen", [None, at(0)])
def test_a_first_checkpoint_comes_without_a_proof(last_seen: Checkpoint | None) -> None:
    with pytest.raises(ProofInvalid):
        ask(last_seen, at(64), consistency_proof(1, 64, TREE.read))


def test_a_log_cannot_be_its_own_witness() -> None:
    with pytest.raises(KeyInvalid, match="own key"):
        cosign(None, verified(at(64)), [], name=WITNESS, key=LOG_SIGNER, now=NOW)
