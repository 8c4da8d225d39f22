"""Attaching and listing, against what OCI Distribution 1.1 asks of clients and registries (spec.md: "Pushing Manifests with Subject", "Listing
Referrers", "Referrers Tag Schema", "Unavailable Referrers API").

The first part runs our client on a packaged registry, on a layout folder and on the stand-in that lists referrers by itself. The second part asks
the stand-in with plain HTTP whether it answers as the specification says, because nothing else here could show that it does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.artifact import EMPTY_CONFIG, Layer, artifact_manifest, referrer_of
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.port import OCI_INDEX, OCI_MANIFEST, ImageNotFound, Manifest, RegistryPort, TagChanged
from stella_pipelines.integrations.registries.referrers import fallback_tag
from stella_pipelines.integrations.registries.referring import enter, push_artifact, referrers_of
from tests.support.attachments import quickly
from tests.support.oci import push_image
from tests.support.referring_registry import ReferringRegistry
from tests.support.registries import password_registry, plain_registry, token_registry

TYPE = "application/vnd.example+json"
OTHER_TYPE = "application/vnd.other+json"
KINDS = ("plain", "password", "token", "layout", "listing", "listing in pages", "listing without filters")
LISTING: dict[str, dict[str, Any]] = {"listing": {}, "listing in pages": {"page_entries": 2}, "listing without filters": {"filters": False}}


@pytest.fixture(scope="module", params=KINDS)
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryPort]:
    folder = tmp_path_factory.mktemp("registry")
    if request.param == "layout":
        yield LayoutRegistry(folder / "images")
        return
    packaged = {"plain": plain_registry, "password": password_registry, "token": token_registry}
    with ReferringRegistry(**LISTING[request.param]) if request.param in LISTING else packaged[request.param](folder) as running:
        client = running.client()
        yield client
        client.close()


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return f"shop/{request.node.originalname.removeprefix('test_')}"


def subject_in(registry: RegistryPort, path: str, text: str = "subject") -> Manifest:
    return registry.manifest(path, push_image(registry, path, None, text=text))


def attach(registry: RegistryPort, path: str, subject: Manifest, *texts: str, media_type: str = TYPE) -> list[Digest]:
    """Push artifacts and enter those that the registry does not list by itself."""
    registry.push_blob(path, EMPTY_CONFIG)
    unlisted, digests = [], []
    for text in texts:
        registry.push_blob(path, text.encode())
        manifest = artifact_manifest(Layer(media_type=media_type, content=text.encode(), title="a.json"), subject, {"org.example.text": text})
        digests.append(Digest.of(manifest))
        if not push_artifact(registry, path, manifest, subject.digest):
            unlisted.append(referrer_of(manifest))
    enter(registry, path, subject.digest, unlisted, quickly())
    return digests


def test_nothing_is_attached_to_what_nobody_knows(registry: RegistryPort, path: str) -> None:
    push_image(registry, path, "1.0")
    assert referrers_of(registry, path, Digest.of(b"unknown")) == ()


def test_what_is_attached_is_listed_with_type_size_and_annotations(registry: RegistryPort, path: str) -> None:
    subject = subject_in(registry, path)
    digests = attach(registry, path, subject, "one", "two", "three", "four", "five")
    found = referrers_of(registry, path, subject.digest)
    assert [one.digest for one in found] == digests
    for one, text in zip(found, ["one", "two", "three", "four", "five"], strict=True):
        manifest = registry.manifest(path, one.digest)
        assert (one.media_type, one.size, one.artifact_type) == (OCI_MANIFEST, len(manifest.content), TYPE)
        assert one.annotations == {"org.example.text": text}


def test_attaching_again_changes_nothing(registry: RegistryPort, path: str) -> None:
    subject = subject_in(registry, path)
    assert attach(registry, path, subject, "one") == attach(registry, path, subject, "one")
    assert len(referrers_of(registry, path, subject.digest)) == 1


def test_a_type_is_chosen_whoever_does_the_choosing(registry: RegistryPort, path: str) -> None:
    subject = subject_in(registry, path)
    attach(registry, path, subject, "one", "two", "three")
    others = attach(registry, path, subject, "four", "five", "six", media_type=OTHER_TYPE)
    assert [one.digest for one in referrers_of(registry, path, subject.digest, OTHER_TYPE)] == others
    assert len(referrers_of(registry, path, subject.digest)) == 6


def test_each_subject_has_a_list_of_its_own(registry: RegistryPort, path: str) -> None:
    first, second = subject_in(registry, path, "first"), subject_in(registry, path, "second")
    (one,) = attach(registry, path, first, "text")
    (other,) = attach(registry, path, second, "text")
    assert one != other
    assert [found.digest for found in referrers_of(registry, path, first.digest)] == [one]


def test_the_fallback_tag_is_used_where_the_registry_keeps_no_list_and_only_there(registry: RegistryPort, path: str) -> None:
    subject = subject_in(registry, path)
    attach(registry, path, subject, "one")
    keeps_a_list = registry.referrers(path, subject.digest, None) is not None
    if keeps_a_list:
        with pytest.raises(ImageNotFound):
            registry.manifest(path, fallback_tag(subject.digest))
    else:
        assert registry.tags(path) == [fallback_tag(subject.digest)]
        assert registry.manifest(path, fallback_tag(subject.digest)).media_type == OCI_INDEX


def test_a_tag_that_was_moved_meanwhile_is_not_moved_again_where_the_registry_can_tell(registry: RegistryPort, path: str) -> None:
    push_image(registry, path, "moving", text="first")
    was = registry.tagged(path, "moving")
    assert was is not None
    assert was.manifest == registry.manifest(path, "moving")
    second = push_image(registry, path, "moving", text="second")
    knows = isinstance(registry, LayoutRegistry) or registry.referrers(path, second, None) is not None
    for believed in (was, None):
        if knows:
            with pytest.raises(TagChanged):
                registry.move_tag(path, was.manifest.content, OCI_MANIFEST, "moving", believed)
    assert registry.manifest(path, "moving").digest == second
    now = registry.tagged(path, "moving")
    assert registry.move_tag(path, was.manifest.content, OCI_MANIFEST, "moving", now) == was.manifest.digest
    assert registry.manifest(path, "moving").digest == was.manifest.digest


def test_a_tag_that_is_not_there_is_none_and_can_be_made(registry: RegistryPort, path: str) -> None:
    digest = push_image(registry, path, None)
    assert registry.tagged(path, "new") is None
    registry.move_tag(path, registry.manifest(path, digest).content, OCI_MANIFEST, "new", None)
    assert registry.manifest(path, "new").digest == digest


# What the stand-in answers, asked with plain HTTP.

NAME = "shop/web"


@pytest.fixture
def stand_in() -> Iterator[ReferringRegistry]:
    with ReferringRegistry(page_entries=2) as server:
        yield server


@pytest.fixture
def ask(stand_in: ReferringRegistry) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{stand_in.host}", trust_env=False) as client:
        yield client


def put(ask: httpx.Client, document: dict[str, Any], **headers: str) -> tuple[Digest, httpx.Response]:
    content = json.dumps(document).encode()
    digest = Digest.of(content)
    return digest, ask.put(f"/v2/{NAME}/manifests/{digest}", content=content, headers={"Content-Type": document["mediaType"], **headers})


def about(subject: str, number: int, **more: Any) -> dict[str, Any]:
    config = {"mediaType": "application/vnd.example.config", "digest": Digest.of(b"{}"), "size": 2}
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], "subject": {"digest": subject}, "x": number, **more}


def pages(ask: httpx.Client, address: str) -> list[list[dict[str, Any]]]:
    found = []
    while address:
        answer = ask.get(address)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == OCI_INDEX
        document = answer.json()
        assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
        found.append(document["manifests"])
        address = answer.links.get("next", {}).get("url", "")
    return found


SUBJECT = Digest.of(b"a subject that may come later")


def test_the_stand_in_acknowledges_a_subject_that_it_does_not_have_yet(ask: httpx.Client) -> None:
    _, answer = put(ask, about(SUBJECT, 1))
    assert (answer.status_code, answer.headers["oci-subject"]) == (201, SUBJECT)
    _, answer = put(ask, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
    assert answer.status_code == 201
    assert "oci-subject" not in answer.headers


def test_the_stand_in_lists_nothing_as_an_empty_index_and_never_as_404(ask: httpx.Client) -> None:
    assert pages(ask, f"/v2/{NAME}/referrers/{SUBJECT}") == [[]]


def test_the_stand_in_refuses_what_is_no_digest(ask: httpx.Client) -> None:
    assert ask.get(f"/v2/{NAME}/referrers/latest").status_code == 400


def test_the_stand_in_describes_images_and_indexes_with_their_types_and_annotations(ask: httpx.Client) -> None:
    """Without a type of its own, an image manifest has that of its config; an index has none."""
    typed, _ = put(ask, about(SUBJECT, 1, artifactType="application/a", annotations={"k": "v"}))
    untyped, _ = put(ask, about(SUBJECT, 2))
    index, _ = put(ask, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": {"digest": SUBJECT}})
    first, second, third = (entry for page in pages(ask, f"/v2/{NAME}/referrers/{SUBJECT}") for entry in page)
    assert (first["digest"], first["artifactType"], first["annotations"]) == (typed, "application/a", {"k": "v"})
    assert (second["digest"], second["artifactType"]) == (untyped, "application/vnd.example.config")
    assert (third["digest"], third["mediaType"], third.get("artifactType")) == (index, OCI_INDEX, None)
    assert all(entry["size"] == len(ask.get(f"/v2/{NAME}/manifests/{entry['digest']}").content) for entry in (first, second, third))


def test_the_stand_in_gives_pages_with_different_entries_and_says_when_it_has_filtered(ask: httpx.Client) -> None:
    kinds = ["application/a", "application/b", "application/a", "application/b", "application/a"]
    digests = [put(ask, about(SUBJECT, number, artifactType=kind))[0] for number, kind in enumerate(kinds)]
    everything = pages(ask, f"/v2/{NAME}/referrers/{SUBJECT}")
    assert [len(page) for page in everything] == [2, 2, 1]
    assert [entry["digest"] for page in everything for entry in page] == digests
    chosen = f"/v2/{NAME}/referrers/{SUBJECT}?artifactType=application%2Fa"
    assert [len(page) for page in pages(ask, chosen)] == [2, 1]
    assert ask.get(chosen).headers["oci-filters-applied"] == "artifactType"
    assert "oci-filters-applied" not in ask.get(f"/v2/{NAME}/referrers/{SUBJECT}").headers


def test_the_stand_in_moves_a_tag_only_under_its_condition(ask: httpx.Client) -> None:
    content = json.dumps(about(SUBJECT, 1)).encode()

    def move(**headers: str) -> int:
        return ask.put(f"/v2/{NAME}/manifests/tag", content=content, headers={"Content-Type": OCI_MANIFEST, **headers}).status_code

    assert move(**{"If-None-Match": "*"}) == 201
    assert move(**{"If-None-Match": "*"}) == 412
    mark = ask.get(f"/v2/{NAME}/manifests/tag").headers["etag"]
    assert move(**{"If-Match": '"something else"'}) == 412
    assert move(**{"If-Match": mark}) == 201
