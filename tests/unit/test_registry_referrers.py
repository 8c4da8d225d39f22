"""The list of referrers behind a tag: what is read, what is refused, and what is left exactly as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.port import OCI_INDEX, OCI_MANIFEST, Manifest, Referrer
from stella_pipelines.integrations.registries.referrers import (
    REFERRERS_MAX,
    ReferrersFull,
    ReferrersUnreadable,
    descriptor,
    empty_index,
    fallback_tag,
    listed,
    merged,
    read_index,
    require_index,
)

OURS = Referrer(media_type=OCI_MANIFEST, digest=Digest.of(b"ours"), size=4, artifact_type="application/x", annotations={"a": "b"})
FOREIGN = {"mediaType": OCI_MANIFEST, "size": 9, "digest": Digest.of(b"foreign"), "platform": {"os": "none"}, "x-unknown": [1, {"é": "ü"}], "data": "eA=="}
ELSEWHERE = {"mediaType": OCI_MANIFEST, "digest": "sha512:" + "0" * 128, "size": 1}


def index(*entries: Any, **more: Any) -> dict[str, Any]:
    return {**empty_index(), "manifests": list(entries), **more}


def added(document: dict[str, Any], *entries: Referrer) -> dict[str, Any]:
    content = merged(document, entries, "test")
    assert content is not None
    return read_index(content, "test")


def test_the_tag_is_the_subjects_digest_without_a_colon() -> None:
    assert fallback_tag(Digest("sha256:" + "0f" * 32)) == "sha256-" + "0f" * 32


def test_an_entry_has_the_type_and_annotations_of_its_manifest() -> None:
    assert descriptor(OURS) == {
        "mediaType": OCI_MANIFEST,
        "digest": Digest.of(b"ours"),
        "size": 4,
        "artifactType": "application/x",
        "annotations": {"a": "b"},
    }
    assert listed(index(descriptor(OURS)), "test") == (OURS,)


def test_what_others_wrote_stays_as_it_was() -> None:
    before = index(FOREIGN, ELSEWHERE, annotations={"of": "the index"}, subject={"x": 1})
    after = added(before, OURS)
    assert after == {**before, "manifests": [FOREIGN, ELSEWHERE, descriptor(OURS)]}
    assert list(after["manifests"][0]) == list(FOREIGN)


def test_an_entry_that_is_there_is_not_added_again_whoever_wrote_it() -> None:
    others = {**descriptor(OURS), "annotations": {"written": "by another tool"}}
    assert merged(index(others), [OURS], "test") is None


def test_an_entry_of_another_algorithm_is_kept_and_not_listed() -> None:
    assert listed(index(ELSEWHERE, descriptor(OURS)), "test") == (OURS,)


def test_a_missing_media_type_is_written() -> None:
    after = added({"schemaVersion": 2, "manifests": []}, OURS)
    assert after["mediaType"] == OCI_INDEX


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"schemaVersion":2,"manifests":null}',
        b'{"schemaVersion":2,"manifests":{}}',
        b'{"schemaVersion":1,"manifests":[]}',
        b'{"schemaVersion":2,"manifests":[],"manifests":[]}',
        b'{"schemaVersion":2,"manifests":[{"size":1,"size":2}]}',
        b'{"schemaVersion":2,"manifests":[{"size":1.0}]}',
        b'{"schemaVersion":2,"manifests":[{"size":1e3}]}',
        b'{"schemaVersion":2,"manifests":[{"size":-0}]}',
        b'{"schemaVersion":2,"manifests":[{"size":NaN}]}',
        b'{"schemaVersion":2,"manifests":[{"size":' + b"9" * 5_000 + b"}]}",
        b'{"schemaVersion":2,"manifests":[{"x":"\\ud800"}]}',
        b'{"schemaVersion":2,"manifests":[],"config":{}}',
        b'{"schemaVersion":2,"manifests":[],"layers":[]}',
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}',
        b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[]}',
    ],
)
def test_what_is_no_index_or_could_not_be_written_again_is_refused(content: bytes) -> None:
    with pytest.raises(ReferrersUnreadable):
        read_index(content, "test")


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "text",
        {},
        {"mediaType": OCI_MANIFEST, "digest": "sha256:short", "size": 1},
        {"mediaType": OCI_MANIFEST, "digest": 7, "size": 1},
        {"mediaType": OCI_MANIFEST, "digest": Digest.of(b"x"), "size": -1},
        {"mediaType": OCI_MANIFEST, "digest": Digest.of(b"x"), "size": True},
        {"mediaType": OCI_MANIFEST, "digest": Digest.of(b"x"), "size": "1"},
        {"mediaType": 7, "digest": Digest.of(b"x"), "size": 1},
        {"mediaType": OCI_MANIFEST, "digest": Digest.of(b"x"), "size": 1, "annotations": {"a": 1}},
        {"mediaType": OCI_MANIFEST, "digest": Digest.of(b"x"), "size": 1, "annotations": ["a"]},
        {"mediaType": OCI_MANIFEST, "digest": Digest.of(b"x"), "size": 1, "artifactType": 5},
    ],
)
def test_an_entry_that_is_no_descriptor_is_refused_when_read_and_kept_when_written(entry: Any) -> None:
    with pytest.raises(ReferrersUnreadable):
        listed(index(entry), "test")
    assert added(index(entry), OURS)["manifests"] == [entry, descriptor(OURS)]


def test_a_list_has_room_for_so_many_entries() -> None:
    full = index(*({"mediaType": OCI_MANIFEST, "digest": Digest.of(b"%d" % n), "size": 1} for n in range(REFERRERS_MAX)))
    with pytest.raises(ReferrersFull, match="no room for 1 more"):
        merged(full, [OURS], "test")
    with pytest.raises(ReferrersFull):
        read_index(json.dumps(index(*([ELSEWHERE] * (REFERRERS_MAX + 1)))).encode(), "test")


def test_a_list_is_never_written_larger_than_a_registry_must_take() -> None:
    large = index({**FOREIGN, "data": "x" * (4 * 1024 * 1024 - 400)})
    with pytest.raises(ReferrersFull):
        merged(large, [OURS], "test")


def test_something_else_behind_the_tag_is_left_alone() -> None:
    content = json.dumps(empty_index()).encode()
    with pytest.raises(ReferrersUnreadable, match="served as"):
        require_index(Manifest(media_type=OCI_MANIFEST, digest=Digest.of(content), content=content), "test")
