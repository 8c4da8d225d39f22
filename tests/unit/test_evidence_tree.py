"""The tree grows as the definition says, reads little for a proof, and notices when its store is damaged."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from stella_pipelines.evidence.errors import ProofImpossible, TreeDamaged
from stella_pipelines.evidence.log.tree import EMPTY_ROOT, TILE_WIDTH, CompactRange, Node, StoredTree, consistency_proof, inclusion_proof
from stella_pipelines.evidence.merkle import verify_consistency, verify_inclusion
from tests.support.kept_tree import KeptTree, leaves_of
from tests.support.naive_tree import tree_hash

LEAVES = leaves_of(70_000)
KEPT = KeptTree(LEAVES, batch=777)


def test_an_empty_tree_has_the_hash_of_nothing_as_its_root() -> None:
    assert CompactRange.empty().root() == EMPTY_ROOT == tree_hash([])
    assert StoredTree(KEPT.read).root(0) == EMPTY_ROOT


def test_nothing_appended_changes_nothing() -> None:
    assert KEPT.range.append([]) == (KEPT.range, [])


@pytest.mark.parametrize("batch", [1, 3, 255, 256, 257, 2000])
def test_the_batches_make_no_difference(batch: int) -> None:
    grown, whole = KeptTree(LEAVES[:2000], batch), KeptTree(LEAVES[:2000], 2000)
    assert grown.range == whole.range
    assert grown.nodes == whole.nodes
    assert grown.range.root() == tree_hash(LEAVES[:2000])


def test_one_node_in_256_is_kept_and_is_the_root_of_its_leaves() -> None:
    kept = [key for key in KEPT.nodes if key[0] > 0]
    assert sorted(kept) == [*((8, index) for index in range(70_000 // 256)), (16, 0)]
    assert KEPT.nodes[8, 5] == tree_hash(LEAVES[5 * 256 : 6 * 256])
    assert KEPT.nodes[16, 0] == tree_hash(LEAVES[:65_536])


def test_the_batch_that_completes_a_node_reports_it() -> None:
    tree = KeptTree(LEAVES[:255])
    assert tree.append(LEAVES[255:256]) == [Node(8, 0, tree_hash(LEAVES[:256]))]
    assert tree.append(LEAVES[256:511]) == []
    assert [node.index for node in tree.append(LEAVES[511:1024])] == [1, 2, 3]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 1000, 1023])
def test_a_range_is_written_and_read_again(size: int) -> None:
    grown = KeptTree(LEAVES[:size]).range
    assert CompactRange.from_bytes(grown.to_bytes()) == grown
    assert len(grown.to_bytes()) == 8 + 32 * size.bit_count()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:7],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content + bytes(32),
        lambda content: content[:-32],
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: bytes(7) + b"\x01" + content[8:],
    ],
)
def test_a_damaged_range_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TreeDamaged) as caught:
        CompactRange.from_bytes(damage(KeptTree(LEAVES[:1000]).range.to_bytes()))
    assert caught.value.code == "EVID_TREE_DAMAGED"


def test_a_range_takes_hashes_only() -> None:
    with pytest.raises(TreeDamaged):
        CompactRange.empty().append([b"an entry that nobody hashed"])


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 66_000, 70_000])
def test_old_roots_and_proofs_come_from_what_is_kept(size: int) -> None:
    tree = StoredTree(KEPT.read)
    root = tree.root(size)
    assert root == tree_hash(LEAVES[:size])
    for index in {0, size // 3, size // 2, size - 1}:
        assert verify_inclusion(LEAVES[index], index, size, tree.inclusion_proof(index, size), root) is None
    assert verify_consistency(size, 70_000, tree.consistency_proof(size, 70_000), root, KEPT.range.root()) is None


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 70_000), (69_999, 70_000), (40_000, 69_999), (65_535, 65_537), (12_345, 65_535)])
def test_a_proof_reads_two_tiles_of_each_kept_level_at_most(index: int, size: int) -> None:
    KEPT.reads.clear()
    inclusion_proof(index, size, KEPT.read)
    consistency_proof(index + 1, size, KEPT.read)
    assert len(KEPT.reads) <= 2 * 2 * 3
    for level, start, stop in KEPT.reads:
        assert level in {0, 8, 16}
        assert start % TILE_WIDTH == 0
        assert 0 < stop - start <= TILE_WIDTH


def test_the_proofs_of_neighbours_share_what_was_read() -> None:
    KEPT.reads.clear()
    tree = StoredTree(KEPT.read)
    proofs = [tree.inclusion_proof(index, 70_000) for index in range(1000, 3000)]
    assert len(KEPT.reads) <= 15
    assert all(len(one) == len(two) for one, two in pairwise(proofs))


def test_tiles_of_a_growing_tree_are_not_mixed_up() -> None:
    tree = StoredTree(KEPT.read)
    for size in (300, 301, 400, 512, 300):
        verify_inclusion(LEAVES[299], 299, size, tree.inclusion_proof(299, size), tree_hash(LEAVES[:size]))
    assert tree.root(300) == tree_hash(LEAVES[:300])


@pytest.mark.parametrize("row", [[], LEAVES[:299], LEAVES[:301], [*LEAVES[:255], b"short"], [*LEAVES[:255], None]])
def test_a_damaged_store_is_named(row: list[bytes]) -> None:
    with pytest.raises(TreeDamaged, match="log's tree"):
        inclusion_proof(0, 256, lambda level, start, stop: row)


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (1, -1), (0, 2**63)])
def test_there_is_no_inclusion_proof_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ProofImpossible) as caught:
        inclusion_proof(index, size, KEPT.read)
    assert caught.value.code == "EVID_PROOF_IMPOSSIBLE"


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5), (-1, 5), (1, 2**63)])
def test_there_is_no_consistency_proof_from_nothing_or_from_the_future(old: int, new: int) -> None:
    with pytest.raises(ProofImpossible):
        consistency_proof(old, new, KEPT.read)
    with pytest.raises(ProofImpossible):
        StoredTree(KEPT.read).root(-1)


def test_appending_costs_little_more_than_the_hashing() -> None:
    """A ratio of processor times, so that a busy machine does not matter; about 2 when this was written, and 10 ms for 10,000 leaves."""
    two = LEAVES[0] + LEAVES[1]
    appending = min(_cpu_s(lambda: CompactRange.empty().append(LEAVES[:10_000])) for _ in range(5))
    hashing = min(_cpu_s(lambda: [hashlib.sha256(b"\x01" + two).digest() for _ in range(10_000)]) for _ in range(5))
    assert appending < 6 * hashing


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
