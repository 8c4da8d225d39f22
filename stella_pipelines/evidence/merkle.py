"""The verifier of the log: two proofs of a Merkle tree as in RFC 6962 and RFC 9162, with SHA-256. This is the file to audit.

An inclusion proof shows that an entry stands at its index in a tree of a given size and root. A consistency proof shows that an older tree is
the beginning of a newer one: nothing in it was removed, reordered or changed. Whoever holds two roots needs nothing else from us.

Pure: no files, no network, no clock, nothing but the standard library. A function returns None for a valid proof and raises `ProofInvalid` for
everything else, whatever it was given. What a root is worth is said elsewhere: the signatures on a checkpoint (`checkpoints.py`) vouch for it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence

from stella_pipelines.evidence.errors import ProofInvalid

HASH_BYTES = 32
SIZE_MAX = 2**63 - 1
"""No tree is larger: an index and a size fit into a signed integer of 64 bits everywhere."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of an entry. Its prefix differs from a node's, so that no entry can pass for a part of the tree (RFC 9162, 2.1.1)."""
    _require(isinstance(data, bytes), "An entry is not bytes.")
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above two hashes. Their length is not checked here, for the speed of building; the verifiers below check every hash."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """The leaf stands at `index`, counted from 0, in the tree of `size` leaves with this root (RFC 9162, 2.1.3.2)."""
    _require_size(index, at_least=0)
    _require_size(size, at_least=index + 1)
    _require_hashes(proof, leaf_hash, root)
    found = leaf_hash
    for sibling, stands_left in _way_up(index, size - 1, proof):
        found = node_hash(sibling, found) if stands_left else node_hash(found, sibling)
    _require_equal(found, root, "The inclusion proof does not lead to the tree's root.")


def verify_consistency(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """The tree of `new_size` leaves begins with the very leaves of the tree of `old_size`, in their order (RFC 9162, 2.1.4.2)."""
    _require_size(old_size, at_least=1)
    _require_size(new_size, at_least=old_size)
    _require_hashes(proof, old_root, new_root)
    if old_size == new_size:
        _require(not proof, "A consistency proof between trees of one size must be empty.")
        _require_equal(old_root, new_root, "Two trees of one size have different roots.")
        return
    # Both roots grow from the largest perfect subtree that the old tree ends with. If that is the whole old tree, its root stands for it.
    height = (old_size & -old_size).bit_length() - 1
    whole = old_size == 1 << height
    _require(whole or len(proof) > 0, "The proof is too short for these sizes.")
    start, siblings = (old_root, proof) if whole else (proof[0], proof[1:])
    old = new = start
    for sibling, stands_left in _way_up((old_size - 1) >> height, (new_size - 1) >> height, siblings):
        if stands_left:
            old = node_hash(sibling, old)
        new = node_hash(sibling, new) if stands_left else node_hash(new, sibling)
    _require_equal(old, old_root, "The consistency proof does not lead to the older root.")
    _require_equal(new, new_root, "The consistency proof does not lead to the newer root.")


def _way_up(node: int, last: int, siblings: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Every sibling on the way from a node to the root, and whether it stands on the left; `node` and `last` count the nodes of one level.

    A last node without a sibling rises as it is. The siblings must be exactly as many as the way needs.
    """
    for sibling in siblings:
        while node == last and node % 2 == 0 and last > 0:
            node, last = node // 2, last // 2
        _require(last > 0, "The proof is too long for these sizes.")
        yield sibling, node % 2 == 1
        node, last = node // 2, last // 2
    _require(last == 0, "The proof is too short for these sizes.")


def _require_size(number: int, at_least: int) -> None:
    _require(type(number) is int, "An index or a size is not a whole number.")  # not isinstance: True is no size
    _require(at_least <= number <= SIZE_MAX, "An index or a size is out of range, or two of them do not fit together.")


def _require_hashes(proof: Sequence[bytes], *others: bytes) -> None:
    _require(isinstance(proof, (list, tuple)), "A proof is not a list of hashes.")
    _require(len(proof) <= SIZE_MAX.bit_length() + 1, "The proof is longer than any proof.")
    for value in (*proof, *others):
        _require(isinstance(value, bytes) and len(value) == HASH_BYTES, "A leaf, a root or a part of the proof is not a hash of 32 bytes.")


def _require_equal(found: bytes, expected: bytes, otherwise: str) -> None:
    _require(hmac.compare_digest(found, expected), otherwise)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ProofInvalid(otherwise)
