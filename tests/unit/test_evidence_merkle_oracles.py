"""Other people's programs agree: pymerkle, tlog-scales and sigstore-python take our proofs, and we take theirs. None of them shares code with us."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import ConsistencyProof, InclusionProof, InmemoryTree, InvalidProof
from pymerkle import verify_consistency as their_consistency
from pymerkle import verify_inclusion as their_inclusion
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore.errors import VerificationError
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import PlainEd25519Signer
from tlog_scales.tlog import ConsistencyProof as TheirConsistency
from tlog_scales.tlog import ConsistencyProofInvalid
from tlog_scales.tlog import InclusionProof as TheirInclusion
from tlog_scales.writer import TilesWriter

from stella_pipelines.evidence.errors import ProofInvalid
from stella_pipelines.evidence.log.tree import StoredTree
from stella_pipelines.evidence.merkle import leaf_hash, verify_consistency, verify_inclusion
from tests.support.kept_tree import KeptTree

ENTRIES = [b"entry %d" % index for index in range(600)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
OURS = StoredTree(KeptTree(LEAVES, batch=50).read)
SIZES = [1, 2, 3, 7, 8, 9, 255, 256, 257, 300, 511, 512, 513, 600]


@pytest.fixture(scope="module")
def theirs() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    tree.append_entries(ENTRIES)
    return tree


def places(size: int) -> list[int]:
    return sorted({0, 1 % size, size // 3, size // 2, size - 1})


@pytest.mark.parametrize("size", SIZES)
def test_pymerkle_has_the_same_roots(theirs: InmemoryTree, size: int) -> None:
    assert theirs.get_root(size) == OURS.root(size)


@pytest.mark.parametrize("size", SIZES)
def test_we_take_pymerkles_inclusion_proofs(theirs: InmemoryTree, size: int) -> None:
    for index in places(size):
        proof = theirs.prove_inclusion(index + 1, size).path[1:]  # theirs begins with the leaf, and counts from 1
        assert proof == OURS.inclusion_proof(index, size)
        assert verify_inclusion(LEAVES[index], index, size, proof, OURS.root(size)) is None


@pytest.mark.parametrize("size", SIZES)
def test_pymerkle_takes_our_inclusion_proofs(theirs: InmemoryTree, size: int) -> None:
    for index in places(size):
        form = theirs.prove_inclusion(index + 1, size)
        ours = InclusionProof("sha256", True, size, index + 1, form.rule, [LEAVES[index], *OURS.inclusion_proof(index, size)])
        assert their_inclusion(LEAVES[index], OURS.root(size), ours, index=index + 1, size=size) is None
        with pytest.raises(InvalidProof):
            their_inclusion(LEAVES[index], bytes(32), ours, index=index + 1, size=size)


@pytest.mark.parametrize("new", SIZES)
def test_pymerkle_agrees_which_trees_are_consistent(theirs: InmemoryTree, new: int) -> None:
    """Its consistency proofs have a form of their own, the way of the first new leaf; it is made here of our hashes."""
    for old in [place + 1 for place in places(new)]:
        form = theirs.prove_consistency(old, new)
        way = [OURS.root(new)] if old == new else [LEAVES[old], *OURS.inclusion_proof(old, new)]
        ours = ConsistencyProof("sha256", True, new, old, form.rule, form.subset, way)
        assert their_consistency(OURS.root(old), OURS.root(new), ours, prior_size=old, later_size=new) is None
        assert verify_consistency(old, new, OURS.consistency_proof(old, new), theirs.get_root(old), theirs.get_root(new)) is None


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TilesReader:
    """The same log as tlog-scales writes and reads it, as tiles on a disk."""
    folder = tmp_path_factory.mktemp("tiles") / "log"
    writer = TilesWriter.create(folder, "log.example/tiles")
    for start in range(0, len(ENTRIES), 250):
        for entry in ENTRIES[start : start + 250]:
            writer.add_leaf(entry)
        writer.commit([PlainEd25519Signer("log.example/tiles", bytes(32))])
    reader = TilesReader(LocalBackend(folder))
    assert reader.get_checkpoint().size == len(ENTRIES)
    return reader


@pytest.mark.parametrize("new", SIZES)
def test_tlog_scales_makes_the_same_proofs_and_takes_ours(tiles: TilesReader, new: int) -> None:
    root = tiles.mth(0, new)
    assert root == OURS.root(new)
    for place in places(new):
        assert tiles.get_inclusion_proof(place, new).node_hashes == (way := OURS.inclusion_proof(place, new))
        assert tiles.get_consistency_proof(place + 1, new).node_hashes == (proof := OURS.consistency_proof(place + 1, new))
        assert TheirInclusion(place, new, way).check(LEAVES[place], root) is None
        assert TheirConsistency(place + 1, new, proof).check(OURS.root(place + 1), root) is None
        assert verify_inclusion(LEAVES[place], place, new, way, root) is None
        assert verify_consistency(place + 1, new, proof, tiles.mth(0, place + 1), root) is None


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_tlog_scales_refuses_and_takes_what_we_refuse_and_take(data: st.DataObject) -> None:
    """One hash, one size or the order changed, or nothing at all: both verifiers say the same."""
    new = data.draw(st.integers(1, 600))
    old = data.draw(st.integers(1, new))
    proof = OURS.consistency_proof(old, new)
    change = data.draw(st.sampled_from(["nothing", "drop", "repeat", "reverse", "old", "new"]))
    place = data.draw(st.integers(0, max(len(proof) - 1, 0)))
    changed = {"drop": [*proof[:place], *proof[place + 1 :]], "repeat": [*proof[: place + 1], *proof[place:]], "reverse": proof[::-1]}.get(change, proof)
    sizes = (old + (change == "old"), new + (change == "new"))
    roots = (OURS.root(old), OURS.root(new))
    assert _takes(lambda: verify_consistency(*sizes, changed, *roots)) == _takes(lambda: TheirConsistency(*sizes, changed).check(*roots))


def _takes(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except (ProofInvalid, ConsistencyProofInvalid):
        return False
    return True


def log_entry(index: int, size: int, hashes: list[bytes]) -> Any:
    """As much of sigstore's model of a log entry as its verifier reads."""
    proof = SimpleNamespace(log_index=index, tree_size=size, hashes=hashes, root_hash=OURS.root(size))
    return SimpleNamespace(_inner=SimpleNamespace(inclusion_proof=proof, canonicalized_body=ENTRIES[index]))


@pytest.mark.parametrize("size", SIZES)
def test_sigstore_takes_our_inclusion_proofs(size: int) -> None:
    for index in places(size):
        proof = OURS.inclusion_proof(index, size)
        assert verify_merkle_inclusion(log_entry(index, size, proof)) is None
        with pytest.raises(VerificationError):
            verify_merkle_inclusion(log_entry(index, size, [*proof, bytes(32)]))
