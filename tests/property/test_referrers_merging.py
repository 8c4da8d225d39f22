"""Extending the list behind a tag, whatever it holds and in whatever order writers come: a union that keeps what was there and its order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.port import OCI_MANIFEST, Referrer
from stella_pipelines.integrations.registries.referrers import empty_index, listed, merged, read_index

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ENTRIES = st.lists(
    st.builds(
        Referrer,
        media_type=st.just(OCI_MANIFEST),
        digest=st.integers(0, 12).map(lambda number: Digest.of(b"%d" % number)),
        size=st.integers(0, 2**53),
        artifact_type=st.none() | st.sampled_from(["application/a", "application/b"]),
        annotations=st.dictionaries(TEXT, TEXT, max_size=2),
    ),
    max_size=8,
)
FOREIGN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
INDEXES = st.fixed_dictionaries(
    {"manifests": st.lists(FOREIGN, max_size=4)}, optional={"annotations": st.dictionaries(TEXT, TEXT, max_size=2), "x-other": FOREIGN}
).map(lambda parts: {**empty_index(), **parts})


def with_entries(document: dict[str, Any], entries: list[Referrer]) -> dict[str, Any]:
    content = merged(document, entries, "test")
    return document if content is None else read_index(content, "test")


@given(INDEXES, ENTRIES)
def test_what_was_there_stays_first_and_unchanged(document: dict[str, Any], entries: list[Referrer]) -> None:
    after = with_entries(document, entries)
    assert after["manifests"][: len(document["manifests"])] == document["manifests"]
    assert {name: value for name, value in after.items() if name != "manifests"} == {name: value for name, value in document.items() if name != "manifests"}


@given(INDEXES, ENTRIES)
def test_twice_is_once(document: dict[str, Any], entries: list[Referrer]) -> None:
    assert merged(with_entries(document, entries), entries, "test") is None


@given(ENTRIES, ENTRIES)
def test_two_writers_one_after_the_other_give_the_union_each_once(first: list[Referrer], second: list[Referrer]) -> None:
    one_way = listed(with_entries(with_entries(empty_index(), first), second), "test")
    other_way = listed(with_entries(with_entries(empty_index(), second), first), "test")
    digests = [entry.digest for entry in one_way]
    assert len(digests) == len(set(digests))
    assert set(digests) == {entry.digest for entry in other_way} == {entry.digest for entry in [*first, *second]}
    assert digests == list(dict.fromkeys(entry.digest for entry in [*first, *second]))
