"""Small images for tests, made of bytes alone: the same arguments give the same digests."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.port import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, RegistryPort


def push_image(registry: RegistryPort, path: str, tag: str | None, *, text: str = "hello", platform: str = "linux/amd64", docker: bool = False) -> Digest:
    """Push a one-layer image whose only file holds `text`; returns the manifest's digest."""
    layer = _layer(text)
    config = _json(image_config(platform, gzip.decompress(layer)))
    for blob in (config, layer):
        registry.push_blob(path, blob)
    return registry.push_manifest(path, image_manifest(config, layer, docker=docker), DOCKER_MANIFEST if docker else OCI_MANIFEST, tag)


def push_index(
    registry: RegistryPort, path: str, tag: str | None, entries: dict[str, Digest], *, attested: Digest | None = None, docker: bool = False
) -> Digest:
    """Push an index of images that are there already, by platform; `attested` is added as an attestation."""
    descriptors = [_entry(registry, path, digest, _platform(name), docker=docker) for name, digest in entries.items()]
    if attested is not None:
        descriptors.append(_entry(registry, path, attested, {"os": "unknown", "architecture": "unknown"}, docker=docker))
    media_type = DOCKER_LIST if docker else OCI_INDEX
    return registry.push_manifest(path, _json({"schemaVersion": 2, "mediaType": media_type, "manifests": descriptors}), media_type, tag)


def image_manifest(config: bytes, layer: bytes, *, docker: bool = False) -> bytes:
    """The manifest of a one-layer image."""
    kinds = (
        ("application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip")
        if docker
        else ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip")
    )
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": descriptor(kinds[0], config),
        "layers": [descriptor(kinds[1], layer)],
    }
    return _json(document)


def image_config(platform: str, layer: bytes) -> dict[str, Any]:
    """An image's config for one uncompressed layer."""
    return {**_platform(platform), "config": {}, "rootfs": {"type": "layers", "diff_ids": [Digest.of(layer)]}}


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    """A pointer to `content`."""
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}


def _entry(registry: RegistryPort, path: str, digest: Digest, platform: dict[str, str], *, docker: bool) -> dict[str, Any]:
    content = registry.manifest(path, digest).content
    return {**descriptor(DOCKER_MANIFEST if docker else OCI_MANIFEST, content), "platform": platform}


def _platform(name: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), name.split("/"), strict=False))


def _layer(text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        file = tarfile.TarInfo("hello.txt")
        file.size = len(text.encode())
        archive.addfile(file, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
