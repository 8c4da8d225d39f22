"""Reading manifests strictly: each rule of `manifests.py`, and resolution of indexes with traps in them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import PLATFORMS_MAX
from stella_pipelines.core.references import ImageReference
from stella_pipelines.integrations.registries.copy import copy_image
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.manifests import ImageIndex, ImageManifest, read_manifest
from stella_pipelines.integrations.registries.port import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, ImageUnsupported, Manifest
from stella_pipelines.integrations.registries.resolve import resolve_image
from tests.support.oci import descriptor, image_manifest, push_image

CONFIG, LAYER = b'{"os":"linux","architecture":"amd64"}', b"layer"
IMAGE: dict[str, Any] = json.loads(image_manifest(CONFIG, LAYER))
INDEX: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
REFERENCE = ImageReference.parse("registry.example/shop/web:1.0")


def served(document: object, media_type: str = OCI_MANIFEST) -> Manifest:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Manifest(media_type=media_type, digest=Digest.of(content), content=content)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, "", "application/json", "application/octet-stream"])
def test_an_image_is_read_whatever_a_careless_registry_calls_it(media_type: str) -> None:
    document = read_manifest(served(IMAGE, media_type))
    assert isinstance(document, ImageManifest)
    assert document.is_container_image
    assert (document.config.digest, document.layers[0].digest) == (Digest.of(CONFIG), Digest.of(LAYER))


def test_an_oci_document_may_leave_its_media_type_out() -> None:
    assert isinstance(read_manifest(served({**INDEX, "mediaType": None}, OCI_INDEX)), ImageIndex)
    assert isinstance(read_manifest(served({key: value for key, value in IMAGE.items() if key != "mediaType"})), ImageManifest)


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (IMAGE, OCI_INDEX),
        (IMAGE, DOCKER_MANIFEST),
        (INDEX, OCI_MANIFEST),
        (INDEX, DOCKER_LIST),
        ({**IMAGE, "manifests": []}, OCI_MANIFEST),
        ({**INDEX, "layers": []}, OCI_INDEX),
        ({**INDEX, "config": {}}, OCI_INDEX),
        ({**IMAGE, "schemaVersion": 1}, OCI_MANIFEST),
        ({**IMAGE, "mediaType": "application/vnd.example"}, OCI_MANIFEST),
        ({**IMAGE, "mediaType": []}, OCI_MANIFEST),
        ({**IMAGE, "config": None}, OCI_MANIFEST),
        ({**IMAGE, "layers": [{"mediaType": "x", "digest": "md5:1", "size": 1}]}, OCI_MANIFEST),
        ({**IMAGE, "layers": [{**descriptor("x", b""), "size": -1}]}, OCI_MANIFEST),
        ({**INDEX, "manifests": [descriptor(OCI_INDEX, b"{}")]}, OCI_INDEX),
        ({**INDEX, "manifests": [descriptor(DOCKER_LIST, b"{}")]}, OCI_INDEX),
        ({**INDEX, "manifests": [{**descriptor(OCI_MANIFEST, b"{}"), "platform": {"os": "linux"}}]}, OCI_INDEX),
        ({**INDEX, "manifests": [{**descriptor(OCI_MANIFEST, b"{}"), "platform": {"os": 1, "architecture": "amd64"}}]}, OCI_INDEX),
        ({**INDEX, "manifests": [descriptor(OCI_MANIFEST, b"{}")] * (4 * PLATFORMS_MAX + 1)}, OCI_INDEX),
        ({**INDEX, "manifests": {}}, DOCKER_MANIFEST),
        ([], OCI_MANIFEST),
        (b"", OCI_MANIFEST),
        (b"[" * 100_000, OCI_MANIFEST),
        (json.dumps(IMAGE).encode()[:-1] + b', "layers": []}', OCI_MANIFEST),
    ],
)
def test_what_is_ambiguous_or_broken_is_refused(document: object, media_type: str) -> None:
    with pytest.raises(ImageUnsupported):
        read_manifest(served(document, media_type))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    )
)
def test_any_json_in_the_place_of_entries_gets_our_error_or_none(value: object) -> None:
    for document in ({**INDEX, "manifests": value}, {**INDEX, "manifests": [value]}, {**IMAGE, "layers": [value]}, {**IMAGE, "config": value}):
        with suppress(ImageUnsupported):
            assert isinstance(read_manifest(served(document, "")), ImageIndex | ImageManifest)


@pytest.fixture
def registry(tmp_path: Path) -> LayoutRegistry:
    return LayoutRegistry(tmp_path / "images")


def entry(registry: LayoutRegistry, platform: dict[str, str] | None, *, text: str = "hello", media_type: str = OCI_MANIFEST) -> dict[str, Any]:
    content = registry.manifest("shop/web", push_image(registry, "shop/web", None, text=text)).content
    return descriptor(media_type, content) | ({"platform": platform} if platform else {})


def push(registry: LayoutRegistry, entries: list[dict[str, Any]]) -> Digest:
    return registry.push_manifest("shop/web", json.dumps({**INDEX, "manifests": entries}).encode(), OCI_INDEX, "1.0")


LINUX = {"os": "linux", "architecture": "amd64"}


def test_an_entry_without_a_platform_is_asked_for_its_config(registry: LayoutRegistry) -> None:
    push(registry, [entry(registry, None)])
    assert [found.platform for found in resolve_image(registry, REFERENCE).platforms] == ["linux/amd64"]


def test_windows_builds_of_one_platform_are_left_out_and_linux_stays(registry: LayoutRegistry) -> None:
    windows = [entry(registry, {"os": "windows", "architecture": "amd64", "os.version": build}, text=build) for build in ("10.0.1", "10.0.2")]
    push(registry, [*windows, entry(registry, LINUX)])
    assert [found.platform for found in resolve_image(registry, REFERENCE).platforms] == ["linux/amd64"]
    push(registry, windows)
    with pytest.raises(ImageUnsupported, match="no platform"):
        resolve_image(registry, REFERENCE)
    push(registry, windows[:1])
    assert [found.platform for found in resolve_image(registry, REFERENCE).platforms] == ["windows/amd64"]


def test_a_platform_that_stands_twice_is_refused(registry: LayoutRegistry) -> None:
    push(registry, [entry(registry, LINUX, text="one"), entry(registry, LINUX, text="other")])
    with pytest.raises(ImageUnsupported, match="twice"):
        resolve_image(registry, REFERENCE)


@pytest.mark.parametrize("entries", [[], [{"os": "unknown", "architecture": "unknown"}]])
def test_an_index_with_nothing_to_run_is_refused(registry: LayoutRegistry, entries: list[dict[str, str]]) -> None:
    push(registry, [entry(registry, platform) for platform in entries])
    with pytest.raises(ImageUnsupported, match="platforms"):
        resolve_image(registry, REFERENCE)


@pytest.mark.parametrize("platform", [{"os": "Linux", "architecture": "amd64"}, {"os": "linux", "architecture": "../.."}])
def test_a_platform_that_is_none_is_refused(registry: LayoutRegistry, platform: dict[str, str]) -> None:
    push(registry, [entry(registry, platform)])
    with pytest.raises(ImageUnsupported, match="platform that is none"):
        resolve_image(registry, REFERENCE)


def test_an_entry_of_another_size_than_promised_is_refused(registry: LayoutRegistry) -> None:
    push(registry, [{**entry(registry, LINUX), "size": 1}])
    with pytest.raises(ImageUnsupported, match="promises 1 bytes"):
        resolve_image(registry, REFERENCE)


def test_an_index_disguised_as_an_image_inside_an_index_is_refused(registry: LayoutRegistry, tmp_path: Path) -> None:
    inner = json.dumps({**INDEX, "manifests": [entry(registry, LINUX)]}).encode()
    registry.push_manifest("shop/web", inner, OCI_INDEX, None)
    outer = push(registry, [descriptor(OCI_MANIFEST, inner) | {"platform": LINUX}])
    with pytest.raises(ImageUnsupported, match="inside an index"):
        resolve_image(registry, REFERENCE)
    target = LayoutRegistry(tmp_path / "copy")
    with pytest.raises(ImageUnsupported, match="inside an index"):
        copy_image(registry, "shop/web", outer, target, "shop/web", tag="1.0")
