"""One proof for many entries of a log: the inclusion proofs of RFC 6962 without what they share or can be computed. Pure.

The hashes are those siblings that cannot be computed from the entries themselves: level by level from the leaves up, each level from left to
right. For one entry that is exactly its RFC 6962 inclusion proof; for all entries it is empty. Its size and the work are never more than those
of single proofs, and for neighbours about one hash for each entry.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.evidence.errors import ProofInvalid
from stella_pipelines.evidence.log.tree import StoredTree
from stella_pipelines.evidence.merkle import HASH_BYTES, SIZE_MAX


def hashes_for(indexes: Sequence[int], size: int, tree: StoredTree) -> list[bytes]:
    """The proof that these entries, ascending, stand in the tree of `size` leaves. Each missing sibling is taken from a single proof below it."""
    found: list[bytes] = []
    row, last, level = [(index, index) for index in indexes], size - 1, 0
    paths: dict[int, dict[int, bytes]] = {}
    while last:
        above: list[tuple[int, int]] = []
        place = 0
        while place < len(row):
            node, leaf = row[place]
            has_right = place + 1 < len(row) and row[place + 1][0] == node + 1 and node % 2 == 0
            if not has_right and (node ^ 1) <= last:
                if leaf not in paths:
                    paths[leaf] = dict(zip(_levels(leaf, size), tree.inclusion_proof(leaf, size), strict=True))
                found.append(paths[leaf][level])
            above.append((node >> 1, leaf))
            place += 2 if has_right else 1
        row, last, level = above, last >> 1, level + 1
    return found


def require_in_tree(indexes: Sequence[int], leaf_hashes: Sequence[bytes], size: int, hashes: Sequence[bytes], root: bytes) -> None:
    """The leaves stand at these indexes, ascending, in the tree with this size and root; `ProofInvalid` otherwise."""
    _require_places(indexes, size)
    if len(indexes) != len(leaf_hashes) or not all(type(one) is bytes and len(one) == HASH_BYTES for one in (*leaf_hashes, *hashes)):
        raise ProofInvalid("The proof of a chunk does not have a hash for each entry, or something in it is no hash.")
    given, sha256 = iter(hashes), hashlib.sha256
    nodes, values, last = list(indexes), list(leaf_hashes), size - 1
    while last:
        nodes_above: list[int] = []
        values_above: list[bytes] = []
        place, count = 0, len(nodes)
        while place < count:
            node, value = nodes[place], values[place]
            place += 1
            if node & 1:
                value = sha256(b"\x01" + _next(given) + value).digest()
            elif node < last:  # a last node without a neighbour rises as it is
                if place < count and nodes[place] == node + 1:
                    value = sha256(b"\x01" + value + values[place]).digest()
                    place += 1
                else:
                    value = sha256(b"\x01" + value + _next(given)).digest()
            nodes_above.append(node >> 1)
            values_above.append(value)
        nodes, values, last = nodes_above, values_above, last >> 1
    if next(given, None) is not None:
        raise ProofInvalid("The proof of a chunk has more hashes than its entries need.")
    if not hmac.compare_digest(values[0], root):
        raise ProofInvalid("The proof of a chunk does not lead to the checkpoint's root.")


def write_hashes(hashes: Sequence[bytes]) -> str:
    """The hashes as one text: base64 of all of them."""
    return base64.b64encode(b"".join(hashes)).decode()


def read_hashes(text: str) -> list[bytes]:
    """The hashes of a text; `ProofInvalid` unless it is what `write_hashes` writes."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ProofInvalid("The hashes of a proof are not base64.") from error
    if len(content) % HASH_BYTES or base64.b64encode(content).decode() != text:
        raise ProofInvalid("The hashes of a proof are not whole hashes in their one spelling.")
    return [content[start : start + HASH_BYTES] for start in range(0, len(content), HASH_BYTES)]


def write_proof(indexes: Sequence[int], sequences: Sequence[int], hashes: Sequence[bytes]) -> bytes:
    """The file beside a chunk: where its lines stand in the log, which numbers they have in their streams, and the proof."""
    return canonical_json({"hashes": write_hashes(hashes), "indexes": list(indexes), "sequences": list(sequences)})


def _levels(leaf: int, size: int) -> list[int]:
    """The levels on which a leaf's way up has a sibling."""
    levels, node, last, level = [], leaf, size - 1, 0
    while last:
        if (node ^ 1) <= last:
            levels.append(level)
        node, last, level = node >> 1, last >> 1, level + 1
    return levels


def _next(given: object) -> bytes:
    found = next(given, None)  # type: ignore[call-overload]  # an iterator of bytes
    if not isinstance(found, bytes):
        raise ProofInvalid("The proof of a chunk has fewer hashes than its entries need.")
    return found


def _require_places(indexes: Sequence[int], size: int) -> None:
    before = -1
    for index in indexes:
        if type(index) is not int or index <= before:
            raise ProofInvalid("The places of a chunk's entries in the log are not ascending numbers.")
        before = index
    if not indexes or type(size) is not int or not before < size <= SIZE_MAX:
        raise ProofInvalid("The places of a chunk's entries are beyond the log's end, or there are none.")
