"""Trees of every shape against the naive definition; and whatever is changed in a proof, it is refused with the one error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stella_pipelines.evidence.errors import ProofInvalid
from stella_pipelines.evidence.log.tree import CompactRange, StoredTree
from stella_pipelines.evidence.merkle import verify_consistency, verify_inclusion
from tests.support.kept_tree import KeptTree, leaves_of
from tests.support.naive_tree import path, proof, tree_hash

LEAVES = leaves_of(2100)
TREE = StoredTree(KeptTree(LEAVES, batch=97).read)
SIZES = st.integers(1, len(LEAVES))
BYTES = st.integers(0, 31)

INCLUSION: dict[str, Any] = {"leaf_hash": LEAVES[1500], "index": 1500, "size": 2021, "proof": TREE.inclusion_proof(1500, 2021), "root": TREE.root(2021)}
CONSISTENCY: dict[str, Any] = {
    "old_size": 1499,
    "new_size": 2021,
    "proof": TREE.consistency_proof(1499, 2021),
    "old_root": TREE.root(1499),
    "new_root": TREE.root(2021),
}
BOTH = pytest.mark.parametrize(("verify", "good"), [(verify_inclusion, INCLUSION), (verify_consistency, CONSISTENCY)])


def refused(verify: Callable[..., None], arguments: dict[str, Any]) -> None:
    with pytest.raises(ProofInvalid):
        verify(**arguments)


@settings(deadline=None, max_examples=150)
@given(size=SIZES, data=st.data())
@example(size=1, data=None)
def test_an_inclusion_proof_is_the_definitions_and_holds(size: int, data: st.DataObject | None) -> None:
    index = data.draw(st.integers(0, size - 1)) if data else 0
    made = TREE.inclusion_proof(index, size)
    assert made == path(index, LEAVES[:size])
    assert verify_inclusion(LEAVES[index], index, size, made, tree_hash(LEAVES[:size])) is None


@settings(deadline=None, max_examples=150)
@given(new=SIZES, data=st.data())
def test_a_consistency_proof_is_the_definitions_and_holds(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    made = TREE.consistency_proof(old, new)
    assert made == proof(old, LEAVES[:new])
    assert verify_consistency(old, new, made, tree_hash(LEAVES[:old]), tree_hash(LEAVES[:new])) is None


@settings(deadline=None, max_examples=80)
@given(batches=st.lists(st.integers(0, 600), max_size=8))
def test_any_batches_grow_the_definitions_tree(batches: list[int]) -> None:
    tree = KeptTree()
    for size in batches:
        start = tree.range.size
        tree.append(LEAVES[start : start + size])
        assert CompactRange.from_bytes(tree.range.to_bytes()) == tree.range
        assert tree.range.root() == tree_hash(LEAVES[: tree.range.size])


def test_every_proof_of_every_small_tree_holds_and_only_at_its_own_place() -> None:
    for size in range(1, 20):
        root = TREE.root(size)
        for index in range(size):
            made = TREE.inclusion_proof(index, size)
            verify_inclusion(LEAVES[index], index, size, made, root)
            for other in set(range(size)) - {index}:
                refused(verify_inclusion, {"leaf_hash": LEAVES[index], "index": other, "size": size, "proof": made, "root": root})
        for old in range(1, size + 1):
            made = TREE.consistency_proof(old, size)
            assert verify_consistency(old, size, made, TREE.root(old), root) is None
            for other in set(range(1, size + 1)) - {old}:
                refused(verify_consistency, {"old_size": other, "new_size": size, "proof": made, "old_root": TREE.root(old), "new_root": root})


def _flipped(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments with every single bit of every hash flipped in turn."""
    for place, sibling in enumerate(arguments["proof"]):
        for changed in _bits(sibling):
            yield {**arguments, "proof": [*arguments["proof"][:place], changed, *arguments["proof"][place + 1 :]]}
    for field in arguments.keys() & {"leaf_hash", "root", "old_root", "new_root"}:
        for changed in _bits(arguments[field]):
            yield {**arguments, field: changed}


def _bits(value: bytes) -> Iterator[bytes]:
    for place in range(len(value)):
        for bit in range(8):
            yield value[:place] + bytes([value[place] ^ 1 << bit]) + value[place + 1 :]


@BOTH
def test_flipping_any_bit_of_any_hash_is_refused(verify: Callable[..., None], good: dict[str, Any]) -> None:
    verify(**good)
    changed = list(_flipped(good))
    assert len(changed) == 256 * (len(good["proof"]) + 2)
    for arguments in changed:
        refused(verify, arguments)


@BOTH
def test_inserting_or_removing_any_byte_or_any_hash_is_refused(verify: Callable[..., None], good: dict[str, Any]) -> None:
    siblings = good["proof"]
    for place, sibling in enumerate(siblings):
        before, after = siblings[:place], siblings[place + 1 :]
        refused(verify, {**good, "proof": [*before, *after]})
        refused(verify, {**good, "proof": [*before, sibling, sibling, *after]})
        refused(verify, {**good, "proof": [*before, bytes(32), sibling, *after]})
        for byte in range(32):
            refused(verify, {**good, "proof": [*before, sibling[:byte] + sibling[byte + 1 :], *after]})
            refused(verify, {**good, "proof": [*before, sibling[:byte] + b"\0" + sibling[byte:], *after]})
            refused(verify, {**good, "proof": [*before, sibling[:byte], *after]})


@BOTH
@settings(deadline=None)
@given(data=st.data())
def test_any_other_order_of_the_proof_is_refused(verify: Callable[..., None], good: dict[str, Any], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(good["proof"]))
    if shuffled != good["proof"]:
        refused(verify, {**good, "proof": shuffled})


@BOTH
@settings(deadline=None)
@given(size=st.integers(-(2**70), 2**70), data=st.data())
def test_any_other_size_or_index_is_refused(verify: Callable[..., None], good: dict[str, Any], size: int, data: st.DataObject) -> None:
    """The new tree's size is left out: some sizes share a way to the root, and what binds a size to a root is the checkpoint's signature."""
    field = data.draw(st.sampled_from(sorted(good.keys() & {"index", "old_size"})))
    if size != good[field]:
        refused(verify, {**good, field: size})


@settings(deadline=None, max_examples=300)
@given(
    arguments=st.lists(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=40)
        | st.binary(max_size=64)
        | st.lists(st.binary(min_size=31, max_size=33), max_size=70)
        | st.dictionaries(st.integers(), st.integers(), max_size=3),
        min_size=5,
        max_size=5,
    )
)
def test_noise_of_any_type_is_refused(arguments: list[Any]) -> None:
    for verify in (verify_inclusion, verify_consistency):
        with pytest.raises(ProofInvalid):
            verify(*arguments)


@settings(deadline=None, max_examples=300)
@given(
    first=st.integers(0, 2**63),
    second=st.integers(0, 2**63),
    siblings=st.lists(st.binary(min_size=32, max_size=32), max_size=70),
    one=st.binary(min_size=32, max_size=32),
    two=st.binary(min_size=32, max_size=32).map(lambda value: bytes(31) + b"\x01" if value == bytes(32) else value),
)
def test_noise_of_the_right_types_is_refused(first: int, second: int, siblings: list[bytes], one: bytes, two: bytes) -> None:
    if one != two:
        refused(verify_inclusion, {"leaf_hash": one, "index": first, "size": second, "proof": siblings, "root": two})
        refused(verify_consistency, {"old_size": first, "new_size": second, "proof": siblings, "old_root": one, "new_root": two})
