"""An artifact manifest about another one: the exact bytes that are written, and everything for which a listed one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.artifact import ArtifactInvalid, Layer, artifact_manifest, read_artifact, referrer_of
from stella_pipelines.integrations.registries.port import OCI_INDEX, OCI_MANIFEST, Manifest

TYPE = "application/vnd.example+json"
SUBJECT = Manifest(media_type=OCI_INDEX, digest=Digest.of(b"subject"), content=b"subject")
LAYER = Layer(media_type=TYPE, content=b"document", title="document.json")
CONTENT = artifact_manifest(LAYER, SUBJECT, {"b": "2", "a": "1"})
DOCUMENT = json.loads(CONTENT)


def served(content: bytes, media_type: str = OCI_MANIFEST) -> Manifest:
    return Manifest(media_type=media_type, digest=Digest.of(content), content=content)


def test_a_manifest_says_what_it_is_what_it_holds_and_what_it_is_about() -> None:
    assert {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": TYPE,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [{"mediaType": TYPE, "digest": Digest.of(b"document"), "size": 8, "annotations": {"org.opencontainers.image.title": "document.json"}}],
        "subject": {"mediaType": OCI_INDEX, "digest": SUBJECT.digest, "size": 7},
        "annotations": {"a": "1", "b": "2"},
    } == DOCUMENT


def test_the_same_document_about_the_same_subject_is_the_same_digest() -> None:
    assert artifact_manifest(LAYER, SUBJECT, {"a": "1", "b": "2"}) == CONTENT
    assert artifact_manifest(LAYER, SUBJECT, {"a": "1"}) != CONTENT


def test_the_list_entry_of_a_manifest_is_read_from_it() -> None:
    referrer = referrer_of(CONTENT)
    assert (referrer.digest, referrer.size, referrer.artifact_type) == (Digest.of(CONTENT), len(CONTENT), TYPE)
    assert referrer.annotations == {"a": "1", "b": "2"}


def test_what_was_written_is_read() -> None:
    artifact = read_artifact(served(CONTENT), referrer_of(CONTENT), SUBJECT.digest)
    assert (artifact.artifact_type, artifact.layer.digest, artifact.layer.size) == (TYPE, Digest.of(b"document"), 8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": len(CONTENT) - 1}, "are listed"),
        ({"artifact_type": None}, "is listed"),
        ({"artifact_type": "application/other"}, "is listed"),
    ],
)
def test_a_list_that_says_something_else_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactInvalid, match=said):
        read_artifact(served(CONTENT), referrer_of(CONTENT).model_copy(update=change), SUBJECT.digest)


def test_an_artifact_about_something_else_is_refused() -> None:
    with pytest.raises(ArtifactInvalid, match="not about"):
        read_artifact(served(CONTENT), referrer_of(CONTENT), Digest.of(b"another release"))


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"mediaType": OCI_INDEX},
        {"mediaType": None},
        {"manifests": []},
        {"subject": None},
        {"subject": {"digest": "sha512:" + "0" * 128}},
        {"subject": {"digest": ["sha256"]}},
        {"layers": []},
        {"layers": DOCUMENT["layers"] * 2},
        {"layers": None},
        {"layers": [{**DOCUMENT["layers"][0], "mediaType": "application/octet-stream"}]},
        {"layers": [{**DOCUMENT["layers"][0], "digest": "nothing"}]},
        {"layers": [{**DOCUMENT["layers"][0], "size": -1}]},
        {"layers": [{"mediaType": TYPE, "digest": Digest.of(b"document")}]},
        {"artifactType": 7},
        {"artifactType": None},
    ],
)
def test_a_manifest_of_another_form_is_refused(change: dict[str, Any]) -> None:
    content = json.dumps({**DOCUMENT, **change}).encode()
    listed = referrer_of(CONTENT).model_copy(update={"digest": Digest.of(content), "size": len(content)})
    with pytest.raises(ArtifactInvalid):
        read_artifact(served(content), listed, SUBJECT.digest)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{" * 50_000, CONTENT[:-1], CONTENT[:-1] + b',"subject":{}}'])
def test_bytes_that_are_no_object_are_refused(content: bytes) -> None:
    listed = referrer_of(CONTENT).model_copy(update={"digest": Digest.of(content), "size": len(content)})
    with pytest.raises(ArtifactInvalid):
        read_artifact(served(content), listed, SUBJECT.digest)


def test_a_manifest_that_is_served_as_an_index_is_refused() -> None:
    with pytest.raises(ArtifactInvalid):
        read_artifact(served(CONTENT, OCI_INDEX), referrer_of(CONTENT), SUBJECT.digest)
