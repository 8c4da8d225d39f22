"""The verifier against published vectors, and against everything that is no proof."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.evidence import merkle
from stella_pipelines.evidence.errors import ProofInvalid
from stella_pipelines.evidence.merkle import SIZE_MAX, leaf_hash, node_hash, verify_consistency, verify_inclusion
from tests.support.naive_tree import REFERENCE_ENTRIES, path, proof, tree_hash

# The roots of Certificate Transparency's reference tree at its sizes 1 to 8.
ROOTS = [
    bytes.fromhex(root)
    for root in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
N01 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N03 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
N10 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
N40 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
N45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
N67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
# The reference implementation's proofs: (leaf index, size, proof) and (old size, new size, proof).
INCLUSION = [
    (0, 1, []),
    (0, 8, [N10, N01, N03]),
    (5, 8, [N40, N67, ROOTS[3].hex()]),
    (2, 3, [ROOTS[1].hex()]),
    (1, 5, [ROOTS[0].hex(), N01, N40]),
]
CONSISTENCY = [(1, 1, []), (1, 8, [N10, N01, N03]), (6, 8, [N45, N67, ROOTS[3].hex()]), (2, 5, [N01, N40])]
LEAVES = [leaf_hash(entry) for entry in REFERENCE_ENTRIES]
GOOD_INCLUSION: dict[str, Any] = {"leaf_hash": LEAVES[5], "index": 5, "size": 8, "proof": path(5, LEAVES), "root": ROOTS[7]}
GOOD_CONSISTENCY: dict[str, Any] = {"old_size": 6, "new_size": 8, "proof": proof(6, LEAVES), "old_root": ROOTS[5], "new_root": ROOTS[7]}
HASH = bytes(32)
NOT_SIZES: list[Any] = [None, True, False, 5.0, "5", b"5", -1, 2**63, 2**64, 10**400, [5], object()]
NOT_HASHES: list[Any] = [None, "", "0" * 32, b"", b"short", HASH[:-1], HASH + b"\0", bytearray(32), memoryview(HASH), 0, [HASH], ROOTS[7].hex(), object()]
NOT_PROOFS: list[Any] = [None, 0, HASH, bytearray(96), "proof", {1: HASH}, {HASH}, iter([HASH]), (HASH for _ in range(3)), object(), range(3), [HASH] * 100_000]


def refused(verify: Callable[..., None], **arguments: Any) -> None:
    with pytest.raises(ProofInvalid) as caught:
        verify(**arguments)
    assert caught.value.code == "EVID_PROOF_INVALID"


def shown(value: object) -> str:
    """An id that is the same in every process: no addresses."""
    return f"{type(value).__name__} {str(value)[:12] if isinstance(value, int | str | bytes) else ''}".strip()


@pytest.mark.parametrize("size", range(1, 9))
def test_the_reference_trees_have_their_published_roots(size: int) -> None:
    assert tree_hash(LEAVES[:size]) == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size", "published"), INCLUSION)
def test_the_published_inclusion_proofs_hold(index: int, size: int, published: list[str]) -> None:
    siblings = [bytes.fromhex(sibling) for sibling in published]
    assert siblings == path(index, LEAVES[:size])
    assert verify_inclusion(LEAVES[index], index, size, siblings, ROOTS[size - 1]) is None


@pytest.mark.parametrize(("old", "new", "published"), CONSISTENCY)
def test_the_published_consistency_proofs_hold(old: int, new: int, published: list[str]) -> None:
    siblings = [bytes.fromhex(sibling) for sibling in published]
    assert siblings == proof(old, LEAVES[:new])
    assert verify_consistency(old, new, siblings, ROOTS[old - 1], ROOTS[new - 1]) is None


def test_a_proof_may_be_a_tuple() -> None:
    verify_inclusion(**{**GOOD_INCLUSION, "proof": tuple(GOOD_INCLUSION["proof"])})
    assert verify_consistency(**{**GOOD_CONSISTENCY, "proof": tuple(GOOD_CONSISTENCY["proof"])}) is None


@pytest.mark.parametrize("wrong", NOT_SIZES, ids=shown)
@pytest.mark.parametrize(
    ("verify", "good", "field"),
    [
        (verify_inclusion, GOOD_INCLUSION, "index"),
        (verify_inclusion, GOOD_INCLUSION, "size"),
        (verify_consistency, GOOD_CONSISTENCY, "old_size"),
        (verify_consistency, GOOD_CONSISTENCY, "new_size"),
    ],
)
def test_what_is_no_size_is_refused(verify: Callable[..., None], good: dict[str, Any], field: str, wrong: Any) -> None:
    refused(verify, **{**good, field: wrong})


@pytest.mark.parametrize("wrong", NOT_HASHES, ids=shown)
@pytest.mark.parametrize(
    ("verify", "good", "field"),
    [
        (verify_inclusion, GOOD_INCLUSION, "leaf_hash"),
        (verify_inclusion, GOOD_INCLUSION, "root"),
        (verify_consistency, GOOD_CONSISTENCY, "old_root"),
        (verify_consistency, GOOD_CONSISTENCY, "new_root"),
    ],
)
def test_what_is_no_hash_is_refused(verify: Callable[..., None], good: dict[str, Any], field: str, wrong: Any) -> None:
    refused(verify, **{**good, field: wrong})
    for place in range(3):
        siblings = [*good["proof"]]
        siblings[place] = wrong
        refused(verify, **{**good, "proof": siblings})


@pytest.mark.parametrize("wrong", NOT_PROOFS, ids=shown)
def test_what_is_no_proof_is_refused(wrong: Any) -> None:
    refused(verify_inclusion, **{**GOOD_INCLUSION, "proof": wrong})
    refused(verify_consistency, **{**GOOD_CONSISTENCY, "proof": wrong})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": 0, "index": 0}, "out of range"),
        ({"index": 8}, "out of range"),
        ({"size": 5}, "out of range"),
        ({"proof": []}, "too short"),
        ({"proof": path(5, LEAVES)[:-1]}, "too short"),
        ({"proof": path(5, LEAVES)[1:]}, "too short"),
        ({"proof": [*path(5, LEAVES), HASH]}, "too long"),
        ({"proof": path(5, LEAVES)[::-1]}, "does not lead"),
        ({"index": 4}, "does not lead"),
        ({"leaf_hash": LEAVES[4]}, "does not lead"),
        ({"root": ROOTS[6]}, "does not lead"),
        ({"index": 0, "size": 1, "proof": [HASH]}, "too long"),
        ({"index": 0, "size": 1, "proof": []}, "does not lead"),
        ({"index": 2**62, "size": SIZE_MAX, "proof": [HASH] * 63}, "does not lead"),
        ({"index": SIZE_MAX - 1, "size": SIZE_MAX, "proof": [HASH] * 62}, "does not lead"),
        ({"index": SIZE_MAX, "size": SIZE_MAX}, "out of range"),
    ],
)
def test_an_inclusion_proof_that_does_not_fit_is_refused_with_the_reason(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ProofInvalid, match=says):
        verify_inclusion(**{**GOOD_INCLUSION, **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"old_size": 0}, "out of range"),
        ({"old_size": 0, "new_size": 0, "proof": []}, "out of range"),
        ({"old_size": 9}, "out of range"),
        ({"old_size": 8}, "must be empty"),
        ({"old_size": 8, "proof": []}, "different roots"),
        ({"old_size": 8, "old_root": ROOTS[7]}, "must be empty"),
        ({"proof": []}, "too short"),
        ({"old_size": 4, "old_root": ROOTS[3], "proof": []}, "too short"),
        ({"proof": proof(6, LEAVES)[:-1]}, "too short"),
        ({"proof": proof(6, LEAVES)[1:]}, "too short"),
        ({"proof": [*proof(6, LEAVES), HASH]}, "too long"),
        ({"proof": proof(6, LEAVES)[::-1]}, "older root"),
        ({"old_root": ROOTS[4]}, "older root"),
        ({"new_root": ROOTS[6]}, "newer root"),
        ({"old_root": ROOTS[7], "new_root": ROOTS[5]}, "older root"),
        ({"old_size": SIZE_MAX - 1, "new_size": SIZE_MAX, "proof": [HASH] * 63}, "older root"),
        ({"old_size": 2**62, "new_size": SIZE_MAX, "proof": [HASH]}, "newer root"),
    ],
)
def test_a_consistency_proof_that_does_not_fit_is_refused_with_the_reason(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ProofInvalid, match=says):
        verify_consistency(**{**GOOD_CONSISTENCY, **change})


def test_two_trees_of_one_size_and_root_are_consistent_without_a_proof() -> None:
    assert verify_consistency(8, 8, [], ROOTS[7], ROOTS[7]) is None


def test_a_node_does_not_pass_for_an_entry() -> None:
    """Second preimage: the two hashes below a node, offered as an entry, hash to something else than the node."""
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])
    refused(verify_inclusion, leaf_hash=leaf_hash(LEAVES[0] + LEAVES[1]), index=0, size=1, proof=[], root=ROOTS[1])


@pytest.mark.parametrize("wrong", [None, "text", 0, [b""]])
def test_an_entry_that_is_not_bytes_is_refused(wrong: Any) -> None:
    refused(leaf_hash, data=wrong)  # type: ignore[arg-type]  # it returns a hash


def test_the_verifier_imports_nothing_but_the_standard_library_and_its_error() -> None:
    source = ast.parse(Path(merkle.__file__).read_text(encoding="utf-8"))
    imported = {name.name for node in ast.walk(source) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(source) if isinstance(node, ast.ImportFrom)}
    assert imported - set(sys.stdlib_module_names) == {"collections.abc", "stella_pipelines.evidence.errors"}
    assert len(Path(merkle.__file__).read_text(encoding="utf-8").splitlines()) <= 120
