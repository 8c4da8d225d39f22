"""What every registry adapter must do, run against three real registries and the layout folder."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import ImageReference, InvalidReference
from stella_pipelines.integrations.registries.copy import copy_image
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.port import AnswerTooLarge, ImageNotFound, ImageUnsupported, RegistryLied, RegistryPort
from stella_pipelines.integrations.registries.resolve import resolve_image
from tests.support.oci import push_image, push_index
from tests.support.registries import password_registry, plain_registry, token_registry

ABSENT = Digest.of(b"nobody ever pushed this")
KINDS = ("plain", "password", "token", "layout")


@pytest.fixture(scope="module", params=KINDS)
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryPort]:
    folder = tmp_path_factory.mktemp(f"registry-{request.param}")
    if request.param == "layout":
        yield LayoutRegistry(folder / "images")
        return
    starting = {"plain": plain_registry, "password": password_registry, "token": token_registry}[request.param]
    with starting(folder) as running:
        client = running.client()
        yield client
        client.close()


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return f"shop/{request.node.originalname.removeprefix('test_')}"


def test_a_manifest_is_read_back_by_tag_and_by_digest(registry: RegistryPort, path: str) -> None:
    digest = push_image(registry, path, "1.0")
    by_tag, by_digest = registry.manifest(path, "1.0"), registry.manifest(path, digest)
    assert by_tag == by_digest
    assert by_tag.digest == digest == Digest.of(by_tag.content)
    assert by_tag.media_type == "application/vnd.oci.image.manifest.v1+json"


def test_a_tag_moves_and_the_digest_stays(registry: RegistryPort, path: str) -> None:
    first = push_image(registry, path, "latest", text="first")
    second = push_image(registry, path, "latest", text="second")
    assert registry.manifest(path, "latest").digest == second != first
    assert registry.manifest(path, first).digest == first


def test_blobs_are_stored_once_and_read_whole_or_streamed(registry: RegistryPort, path: str) -> None:
    content = b"layer" * 200_000
    digest = registry.push_blob(path, content)
    assert registry.push_blob(path, content) == digest
    assert registry.has_blob(path, digest)
    assert registry.blob(path, digest, len(content)) == content
    streamed = io.BytesIO()
    assert registry.blob_to(path, digest, streamed, len(content)) == len(content)
    assert streamed.getvalue() == content


def test_a_blob_is_pushed_from_the_rest_of_a_file(registry: RegistryPort, path: str) -> None:
    file = io.BytesIO(b"header" + b"body" * 100_000)
    file.seek(len(b"header"))
    digest = Digest.of(b"body" * 100_000)
    registry.push_blob_from(path, digest, file)
    assert registry.blob(path, digest, 400_000) == b"body" * 100_000


def test_an_empty_blob_is_content_too(registry: RegistryPort, path: str) -> None:
    digest = registry.push_blob(path, b"")
    assert registry.blob(path, digest, 0) == b""


def test_a_file_that_hashes_to_something_else_is_not_stored(registry: RegistryPort, path: str) -> None:
    with pytest.raises(RegistryLied):
        registry.push_blob_from(path, ABSENT, io.BytesIO(b"something else"))
    assert not registry.has_blob(path, ABSENT)


def test_a_blob_over_the_limit_is_refused(registry: RegistryPort, path: str) -> None:
    digest = registry.push_blob(path, b"x" * 1001)
    with pytest.raises(AnswerTooLarge):
        registry.blob(path, digest, 1000)


@pytest.mark.parametrize("reference", ["no-such-tag", ABSENT])
def test_what_is_not_there_is_not_found(registry: RegistryPort, path: str, reference: str) -> None:
    push_image(registry, path, "1.0")
    with pytest.raises(ImageNotFound):
        registry.manifest(path, reference)


def test_an_unknown_repository_is_not_found(registry: RegistryPort, path: str) -> None:
    push_image(registry, path, "1.0")
    for ask in (lambda: registry.manifest("shop/nobody", "1.0"), lambda: registry.blob("shop/nobody", ABSENT, 10), lambda: registry.tags("shop/nobody")):
        with pytest.raises(ImageNotFound):
            ask()
    assert not registry.has_blob("shop/nobody", ABSENT)


def test_tags_are_listed_sorted_and_per_repository(registry: RegistryPort, path: str) -> None:
    for tag in ("2.0", "1.0", "1.0-rc.1"):
        push_image(registry, path, tag)
    push_image(registry, path + "/other", "elsewhere")
    assert registry.tags(path) == ["1.0", "1.0-rc.1", "2.0"]


@pytest.mark.parametrize("bad", ["../etc", "Shop", "shop//web", "", "shop/web:1", "shop/web@" + ABSENT, "shop/web?x=1"])
def test_a_path_that_is_none_never_reaches_the_registry(registry: RegistryPort, path: str, bad: str) -> None:
    with pytest.raises(InvalidReference):
        registry.manifest(bad, "1.0")
    with pytest.raises(InvalidReference):
        registry.push_blob(bad, b"content")


def test_a_tag_that_is_none_never_reaches_the_registry(registry: RegistryPort, path: str) -> None:
    with pytest.raises(InvalidReference):
        registry.manifest(path, "../1.0")


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_a_single_image_resolves_to_its_platform(registry: RegistryPort, path: str, docker: bool) -> None:
    digest = push_image(registry, path, "1.0", platform="linux/arm/v7", docker=docker)
    image = resolve_image(registry, ImageReference.parse(f"registry.example/{path}:1.0"))
    assert image.digest == digest
    assert [(found.platform, found.digest) for found in image.platforms] == [("linux/arm/v7", digest)]
    assert image.platforms[0].config_digest == json.loads(registry.manifest(path, digest).content)["config"]["digest"]


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_an_index_resolves_to_every_platform_without_attestations(registry: RegistryPort, path: str, docker: bool) -> None:
    images = {name: push_image(registry, path, None, text=name, platform=name, docker=docker) for name in ("linux/amd64", "linux/arm64/v8")}
    attestation = push_image(registry, path, None, text="provenance", docker=docker)
    index = push_index(registry, path, "1.0", images, attested=attestation, docker=docker)
    image = resolve_image(registry, ImageReference.parse(f"registry.example/{path}:1.0"))
    assert image.digest == index
    assert {found.platform: found.digest for found in image.platforms} == images


def test_an_artifact_is_not_an_image(registry: RegistryPort, path: str) -> None:
    empty = registry.push_blob(path, b"{}")
    descriptor = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}
    document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": descriptor, "layers": [descriptor]}
    registry.push_manifest(path, json.dumps(document).encode(), "application/vnd.oci.image.manifest.v1+json", "1.0")
    with pytest.raises(ImageUnsupported, match="artifact"):
        resolve_image(registry, ImageReference.parse(f"registry.example/{path}:1.0"))


def test_an_image_is_copied_out_and_back_with_everything_behind_it(registry: RegistryPort, path: str, tmp_path: Path) -> None:
    images = {name: push_image(registry, path, None, text=name, platform=name) for name in ("linux/amd64", "linux/arm64")}
    index = push_index(registry, path, "1.0", images, attested=push_image(registry, path, None, text="provenance"))
    folder = LayoutRegistry(tmp_path / "transfer")
    out = copy_image(registry, path, index, folder, "carried/web", tag="1.0")
    assert (out.manifests, out.blobs_copied) == (4, 6)
    assert folder.manifest("carried/web", "1.0").digest == index
    again = copy_image(registry, path, index, folder, "carried/web", tag="1.0")
    assert (again.blobs_copied, again.bytes_copied, again.blobs_present) == (0, 0, 6)
    copy_image(folder, "carried/web", index, registry, path + "/back", tag="1.0")
    reference = ImageReference.parse(f"registry.example/{path}/back:1.0")
    assert {found.platform: found.digest for found in resolve_image(registry, reference).platforms} == images
