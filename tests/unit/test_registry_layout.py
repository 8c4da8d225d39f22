"""The layout folder under damage, foreign hands and several writers."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.layout_folder import LayoutUnusable
from stella_pipelines.integrations.registries.port import OCI_INDEX, ImageNotFound, RegistryLied
from tests.support.oci import push_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def registry(folder: Path) -> LayoutRegistry:
    return LayoutRegistry(folder)


def blob_file(folder: Path, digest: Digest) -> Path:
    return folder / "blobs" / "sha256" / digest.hex


def test_the_folder_is_what_the_specification_says(folder: Path, registry: LayoutRegistry) -> None:
    digest = push_image(registry, "shop/web", "1.0")
    assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((folder / "index.json").read_bytes())
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    (entry,) = index["manifests"]
    assert entry["digest"] == digest
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "shop/web:1.0"}
    assert not list(folder.rglob(".incoming-*"))


def test_reading_where_no_layout_is_changes_nothing(folder: Path, registry: LayoutRegistry) -> None:
    for ask in (lambda: registry.manifest("shop/web", "1.0"), lambda: registry.tags("shop/web"), lambda: registry.blob("shop/web", Digest.of(b""), 1)):
        with pytest.raises(LayoutUnusable):
            ask()
    assert not folder.exists()


def test_a_damaged_blob_is_refused_wherever_it_is_read(folder: Path, registry: LayoutRegistry) -> None:
    digest = push_image(registry, "shop/web", "1.0")
    content = blob_file(folder, digest).read_bytes()
    blob_file(folder, digest).write_bytes(content.replace(b"amd64", b"arm64") + b" ")
    for reference in ("1.0", digest):
        with pytest.raises(RegistryLied):
            registry.manifest("shop/web", reference)


def test_a_damaged_blob_is_mended_by_pushing_it_again(folder: Path, registry: LayoutRegistry) -> None:
    digest = registry.push_blob("shop/web", b"content")
    blob_file(folder, digest).write_bytes(b"damaged")
    registry.push_blob("shop/web", b"content")
    assert registry.blob("shop/web", digest, 100) == b"content"


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"manifests": [{}]}', '{"manifests": [{"digest": "x", "mediaType": "y"}]}', '{"manifests": [1]}'])
def test_an_index_that_cannot_be_understood_is_never_replaced(folder: Path, registry: LayoutRegistry, index: str) -> None:
    push_image(registry, "shop/web", "1.0")
    (folder / "index.json").write_text(index)
    with pytest.raises(LayoutUnusable):
        registry.manifest("shop/web", "1.0")
    with pytest.raises(LayoutUnusable):
        push_image(registry, "shop/web", "2.0")
    assert (folder / "index.json").read_text() == index


@pytest.mark.parametrize("marker", ["{}", "[]", "x", '{"imageLayoutVersion": "2.0.0"}'])
def test_a_layout_of_another_version_is_left_alone(folder: Path, registry: LayoutRegistry, marker: str) -> None:
    push_image(registry, "shop/web", "1.0")
    (folder / "oci-layout").write_text(marker)
    before = sorted(folder.rglob("*"))
    with pytest.raises(LayoutUnusable):
        registry.push_blob("shop/web", b"content")
    assert sorted(folder.rglob("*")) == before


def test_what_other_tools_wrote_is_kept(folder: Path, registry: LayoutRegistry) -> None:
    push_image(registry, "shop/web", "1.0")
    index = json.loads((folder / "index.json").read_bytes())
    foreign = {**index["manifests"][0], "annotations": {"org.example": "ours"}, "artifactType": "application/vnd.example"}
    (folder / "index.json").write_text(json.dumps({**index, "manifests": [foreign, *index["manifests"]]}))
    push_image(registry, "shop/web", "2.0")
    assert foreign in json.loads((folder / "index.json").read_bytes())["manifests"]
    assert registry.tags("shop/web") == ["1.0", "2.0"]


def test_a_refused_blob_leaves_no_file(folder: Path, registry: LayoutRegistry) -> None:
    with pytest.raises(RegistryLied):
        registry.push_blob_from("shop/web", Digest.of(b"other"), io.BytesIO(b"content"))
    assert list((folder / "blobs" / "sha256").iterdir()) == []


def test_several_writers_lose_no_tag(folder: Path) -> None:
    def write(number: int) -> None:
        push_image(LayoutRegistry(folder), "shop/web", f"v{number}", text=str(number % 3))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    assert LayoutRegistry(folder).tags("shop/web") == sorted(f"v{number}" for number in range(24))


def test_a_repository_without_tags_is_known_and_another_is_not(registry: LayoutRegistry) -> None:
    push_image(registry, "shop/web", None)
    assert registry.tags("shop/web") == []
    with pytest.raises(ImageNotFound):
        registry.tags("shop")
