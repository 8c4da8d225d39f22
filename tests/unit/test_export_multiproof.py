"""The proof of many entries at once: it holds for exactly those entries, is never larger than single proofs, and is one of them for one entry."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stella_pipelines.evidence.errors import ProofInvalid
from stella_pipelines.evidence.exports.multiproof import hashes_for, read_hashes, require_in_tree, write_hashes
from stella_pipelines.evidence.log.tree import StoredTree
from stella_pipelines.evidence.merkle import leaf_hash, verify_inclusion
from tests.support.kept_tree import KeptTree

TREES: dict[int, tuple[StoredTree, list[bytes], bytes]] = {}


def tree_of(size: int) -> tuple[StoredTree, list[bytes], bytes]:
    if size not in TREES:
        leaves = [leaf_hash(str(index).encode()) for index in range(size)]
        kept = KeptTree()
        kept.append(leaves)
        TREES[size] = (StoredTree(kept.read), leaves, kept.range.root())
    return TREES[size]


@st.composite
def chosen(draw: st.DrawFn) -> tuple[int, list[int]]:
    size = draw(st.sampled_from([1, 2, 3, 5, 8, 21, 255, 256, 257, 700]))
    return size, sorted(draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=40)))


@given(chosen())
def test_the_proof_holds_and_is_not_larger_than_single_ones(picked: tuple[int, list[int]]) -> None:
    size, indexes = picked
    tree, leaves, root = tree_of(size)
    hashes = hashes_for(indexes, size, tree)
    require_in_tree(indexes, [leaves[index] for index in indexes], size, hashes, root)
    assert len(hashes) <= sum(len(tree.inclusion_proof(index, size)) for index in indexes)
    assert read_hashes(write_hashes(hashes)) == hashes


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 300])
def test_for_one_entry_it_is_the_proof_of_rfc_6962(size: int) -> None:
    tree, leaves, root = tree_of(size)
    for index in range(size):
        hashes = hashes_for([index], size, tree)
        assert hashes == tree.inclusion_proof(index, size)
        verify_inclusion(leaves[index], index, size, hashes, root)


def test_for_all_entries_it_is_empty() -> None:
    tree, leaves, root = tree_of(700)
    assert hashes_for(range(700), 700, tree) == []
    require_in_tree(list(range(700)), leaves, 700, [], root)


@settings(max_examples=200)
@given(chosen(), st.data())
def test_nothing_else_passes(picked: tuple[int, list[int]], data: st.DataObject) -> None:
    size, indexes = picked
    tree, leaves, root = tree_of(size)
    hashes, values = hashes_for(indexes, size, tree), [leaves[index] for index in indexes]
    other = leaf_hash(b"another")
    place = data.draw(st.integers(0, len(indexes) - 1))
    changes = {
        "another leaf": (indexes, [*values[:place], other, *values[place + 1 :]], size, hashes, root),
        "another root": (indexes, values, size, hashes, other),
        "a hash more": (indexes, values, size, [*hashes, other], root),
        "a leaf less": (indexes, values[1:], size, hashes, root),
        "twice": ([indexes[0], *indexes], [values[0], *values], size, hashes, root),
        "beyond the end": ([*indexes[:-1], size], values, size, hashes, root),
        "before the beginning": ([-1, *indexes[1:]], values, size, hashes, root),
        "no entry": ([], [], size, hashes, root),
        "no number": ([True, *indexes[1:]], values, size, hashes, root),
        "no hash": (indexes, [*values[:-1], b"short"], size, hashes, root),
    }
    if hashes:
        cut = data.draw(st.integers(0, len(hashes) - 1))
        changes["a hash less"] = (indexes, values, size, hashes[:cut] + hashes[cut + 1 :], root)
        changes["another hash"] = (indexes, values, size, [*hashes[:cut], other, *hashes[cut + 1 :]], root)
    for what, arguments in changes.items():
        with pytest.raises(ProofInvalid):
            require_in_tree(*arguments)
            pytest.fail(what)


@pytest.mark.parametrize("text", ["!", "AAAA", "A" * 43, "é", write_hashes([b"x" * 32])[:-1] + "B"])
def test_hashes_have_one_spelling(text: str) -> None:
    with pytest.raises(ProofInvalid):
        read_hashes(text)
