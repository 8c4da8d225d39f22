"""Builds the log's Merkle tree (RFC 6962): grows it, knows its root, and makes proofs. Pure: stored hashes come through the `ReadHashes` port.

A tree grows from its `CompactRange` alone, the roots of its perfect subtrees, so that appending reads nothing. Kept for proofs are the leaves and
every eighth level of complete nodes (levels 8, 16, …): one node in 256. The levels between are hashed again from one row of at most 256 hashes, a
*tile*, so that a proof reads at most two tiles of each kept level. Whether a proof holds is `merkle.py`'s to say, not this file's.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from stella_pipelines.evidence.errors import ProofImpossible, TreeDamaged
from stella_pipelines.evidence.merkle import HASH_BYTES, SIZE_MAX, node_hash

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
LEVELS_PER_TILE: Final = 8
TILE_WIDTH: Final = 2**LEVELS_PER_TILE
TILES_KEPT: Final = 64
"""A tile with its levels takes about 40 KB."""
_SIZE_BYTES: Final = 8

ReadHashes = Callable[[int, int, int], Sequence[bytes]]
"""`read(level, start, stop)`: the stored complete nodes of a level (0, 8, 16, …; 0 is the leaves), in order; at most 256 of them, of one tile."""


@dataclass(frozen=True, slots=True)
class Node:
    """A complete node: the root of the 2**level leaves from index * 2**level on."""

    level: int
    index: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class CompactRange:
    """A tree as the roots of its perfect subtrees, from the left, the largest first: all that growing and the root need."""

    size: int
    roots: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.size <= SIZE_MAX or len(self.roots) != self.size.bit_count():
            raise _damaged(f"The end of the log's tree has {len(self.roots)} subtrees, which does not fit its size {self.size}.")
        _require_hashes(self.roots)

    @classmethod
    def empty(cls) -> Self:
        """The tree without leaves."""
        return cls(0, ())

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The range that `to_bytes` wrote; `TreeDamaged` for anything else."""
        if len(content) < _SIZE_BYTES:
            raise _damaged("The stored end of the log's tree is cut off.")
        size, places = int.from_bytes(content[:_SIZE_BYTES]), range(_SIZE_BYTES, len(content), HASH_BYTES)
        return cls(size, tuple(content[at : at + HASH_BYTES] for at in places))

    def to_bytes(self) -> bytes:
        """The size, big-endian in 8 bytes, then the roots."""
        return self.size.to_bytes(_SIZE_BYTES) + b"".join(self.roots)

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self.roots:
            return EMPTY_ROOT
        found = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            found = node_hash(left, found)
        return found

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple[Self, list[Node]]:
        """The tree with more leaves, and the nodes to keep that they completed.

        One level after the other: the new nodes of a level, led by the subtree that waited there for its right neighbour, pair into the new nodes
        of the level above; an odd one waits in its turn.
        """
        _require_hashes(leaf_hashes)
        waiting, still_waiting = self._waiting(), dict[int, bytes]()
        kept: list[Node] = []
        row, level = list(leaf_hashes), 0
        while row or level < self.size.bit_length():
            if level > 0 and level % LEVELS_PER_TILE == 0:
                kept += [Node(level, (self.size >> level) + place, found) for place, found in enumerate(row)]
            if level in waiting:
                row.insert(0, waiting[level])
            if len(row) % 2:
                still_waiting[level] = row.pop()
            row, level = _level_above(row), level + 1
        roots = tuple(still_waiting[level] for level in sorted(still_waiting, reverse=True))
        return type(self)(self.size + len(leaf_hashes), roots), kept

    def _waiting(self) -> dict[int, bytes]:
        """The root of each perfect subtree by its level: a subtree of 2**level leaves is there if that bit of the size is set."""
        levels = [level for level in reversed(range(self.size.bit_length())) if self.size >> level & 1]
        return dict(zip(levels, self.roots, strict=True))


class StoredTree:
    """Makes proofs from stored hashes. The tiles that it read last are kept, so that the proofs of neighbours cost little."""

    def __init__(self, read: ReadHashes) -> None:
        self._read = read
        self._tiles: OrderedDict[tuple[int, int, int], list[list[bytes]]] = OrderedDict()

    def root(self, size: int) -> bytes:
        """The root of the tree as it was with `size` leaves."""
        if not 0 <= size <= SIZE_MAX:
            raise _impossible(f"A tree of {size} entries cannot be.")
        return self._root_of(0, size, size) if size else EMPTY_ROOT

    def range_of(self, size: int) -> CompactRange:
        """The tree as it was with `size` leaves, ready to grow again: whoever has that size's root can check it."""
        if not 0 <= size <= SIZE_MAX:
            raise _impossible(f"A tree of {size} entries cannot be.")
        roots, start = [], 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                roots.append(self._node(level, start >> level, size))
                start += 1 << level
        return CompactRange(size=size, roots=tuple(roots))

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The siblings on the way from the leaf up to the root (RFC 9162, 2.1.3.1, walked from the root down)."""
        if not 0 <= index < size <= SIZE_MAX:
            raise _impossible(f"There is no entry {index} in a log of {size} entries.")
        proof, start, stop = [], 0, size
        while stop - start > 1:
            middle = start + _split(stop - start)
            if index < middle:
                proof.append(self._root_of(middle, stop, size))
                stop = middle
            else:
                proof.append(self._root_of(start, middle, size))
                start = middle
        return proof[::-1]

    def consistency_proof(self, old_size: int, new_size: int) -> list[bytes]:
        """The subtrees from which both roots grow (RFC 9162, 2.1.4.1, walked from the root down to where the old tree ends)."""
        if not 0 < old_size <= new_size <= SIZE_MAX:
            raise _impossible(f"A log of {new_size} entries has no consistency proof from {old_size} entries.")
        proof, start, stop = [], 0, new_size
        while stop != old_size:
            middle = start + _split(stop - start)
            if old_size <= middle:
                proof.append(self._root_of(middle, stop, new_size))
                stop = middle
            else:
                proof.append(self._root_of(start, middle, new_size))
                start = middle
        if start > 0:  # from 0 on it is the whole old tree, whose root the verifier has
            proof.append(self._root_of(start, stop, new_size))
        return proof[::-1]

    def _root_of(self, start: int, stop: int, size: int) -> bytes:
        """The root of the leaves from `start` to before `stop`, a subtree of the tree of `size` leaves."""
        width = stop - start
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._node(level, start >> level, size)
        middle = start + _split(width)
        return node_hash(self._root_of(start, middle, size), self._root_of(middle, stop, size))

    def _node(self, level: int, index: int, size: int) -> bytes:
        height = level % LEVELS_PER_TILE
        tile, place = divmod(index, TILE_WIDTH >> height)
        return self._tile(level - height, tile, size)[height][place]

    def _tile(self, level: int, tile: int, size: int) -> list[list[bytes]]:
        """The tile's row and the complete nodes above it, level by level. In a tree of this size the last tile may be narrower."""
        start = tile * TILE_WIDTH
        stop = min(start + TILE_WIDTH, size >> level)
        key = (level, start, stop)
        if key not in self._tiles:
            self._tiles[key] = _levels_of(self._read_row(level, start, stop))
            if len(self._tiles) > TILES_KEPT:
                self._tiles.popitem(last=False)
        self._tiles.move_to_end(key)
        return self._tiles[key]

    def _read_row(self, level: int, start: int, stop: int) -> list[bytes]:
        row = list(self._read(level, start, stop))
        if len(row) != stop - start:
            raise _damaged(f"Of the log's tree, {len(row)} nodes of level {level} are stored from {start} to {stop}.")
        _require_hashes(row)
        return row


def inclusion_proof(index: int, size: int, read: ReadHashes) -> list[bytes]:
    """One inclusion proof; for many, keep a `StoredTree`."""
    return StoredTree(read).inclusion_proof(index, size)


def consistency_proof(old_size: int, new_size: int, read: ReadHashes) -> list[bytes]:
    """One consistency proof; for many, keep a `StoredTree`."""
    return StoredTree(read).consistency_proof(old_size, new_size)


def _split(width: int) -> int:
    """Where a tree of `width` leaves divides: the largest power of two smaller than it."""
    return 1 << (width - 1).bit_length() - 1


def _levels_of(row: list[bytes]) -> list[list[bytes]]:
    levels = [row]
    while len(levels) < LEVELS_PER_TILE:
        levels.append(_level_above(levels[-1]))
    return levels


def _level_above(row: list[bytes]) -> list[bytes]:
    """The complete nodes above a row that begins with a left one; a last one without a neighbour has none yet."""
    return [node_hash(row[place], row[place + 1]) for place in range(0, len(row) - 1, 2)]


def _require_hashes(values: Sequence[bytes]) -> None:
    if not all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values):
        raise _damaged(f"A stored node of the log's tree is not a hash of {HASH_BYTES} bytes.")


def _impossible(what: str) -> ProofImpossible:
    return ProofImpossible(what, next_step="Ask for an entry and sizes that the log has; its newest checkpoint says how many entries there are.")


def _damaged(what: str) -> TreeDamaged:
    return TreeDamaged(what, next_step="Restore the database from a backup; `stella audit verify` compares the whole log with its checkpoints.")
