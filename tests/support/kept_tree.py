"""A growing tree whose kept nodes lie in memory: the stored side that `StoredTree` reads from, with a book of what was read."""

from __future__ import annotations

from collections.abc import Sequence

from stella_pipelines.evidence.log.tree import CompactRange, Node
from tests.support.naive_tree import hash_of


def leaves_of(size: int) -> list[bytes]:
    """Leaf hashes that are the same in every run."""
    return [hash_of(str(index).encode()) for index in range(size)]


class KeptTree:
    """A tree that grew in batches, kept as the store keeps it: leaves, and every eighth level."""

    def __init__(self, leaf_hashes: Sequence[bytes] = (), batch: int = 1000) -> None:
        self.range = CompactRange.empty()
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.reads: list[tuple[int, int, int]] = []
        for start in range(0, len(leaf_hashes), batch):
            self.append(leaf_hashes[start : start + batch])

    def append(self, leaf_hashes: Sequence[bytes]) -> list[Node]:
        """Grow; no node may be kept twice."""
        before = self.range.size
        self.range, completed = self.range.append(leaf_hashes)
        for node in [*(Node(0, before + place, leaf) for place, leaf in enumerate(leaf_hashes)), *completed]:
            assert (node.level, node.index) not in self.nodes
            self.nodes[node.level, node.index] = node.hash
        return completed

    def read(self, level: int, start: int, stop: int) -> list[bytes]:
        """The port."""
        self.reads.append((level, start, stop))
        return [self.nodes[level, index] for index in range(start, stop)]
