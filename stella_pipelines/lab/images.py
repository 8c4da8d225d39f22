"""OCI images made in Python, without a daemon. Pure: the same files give the same bytes, and so the same digests.

Times, owners and names of the builder are left out of every layer. Only what the lab's images need is supported: regular files,
folders and symbolic links, all owned by root.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.port import OCI_INDEX, OCI_MANIFEST, RegistryPort

OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_EPOCH: Final = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class File:
    """A regular file in a layer."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link in a layer."""

    path: str
    target: str


@dataclass(frozen=True)
class Image:
    """One platform's image: the exact bytes of its manifest, config and layers."""

    platform: str
    manifest: bytes
    config: bytes
    layers: tuple[bytes, ...] = field(repr=False)

    @property
    def digest(self) -> Digest:
        """The platform digest."""
        return Digest.of(self.manifest)

    @property
    def config_digest(self) -> Digest:
        """What an engine calls the image's id."""
        return Digest.of(self.config)


@dataclass(frozen=True)
class MultiArchImage:
    """Several platforms behind one index."""

    images: tuple[Image, ...]

    @property
    def index(self) -> bytes:
        """The exact bytes of the index."""
        entries = [
            {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest), "platform": _platform(image.platform)} for image in self.images
        ]
        return canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})

    @property
    def digest(self) -> Digest:
        """The index digest: what a tag leads to."""
        return Digest.of(self.index)

    def image(self, platform: str) -> Image:
        """The image of one platform."""
        return next(image for image in self.images if image.platform == platform)


def make_image(platform: str, layers: Sequence[Sequence[File | Link]], settings: dict[str, object]) -> Image:
    """An image of these layers; `settings` is the `config` object of the image specification (Entrypoint, Env, Healthcheck…)."""
    tars = [_tar(layer) for layer in layers]
    zipped = tuple(gzip.compress(tar, 9, mtime=0) for tar in tars)
    config = canonical_json(
        {
            **_platform(platform),
            "created": _EPOCH,
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [Digest.of(tar) for tar in tars]},
            "history": [{"created": _EPOCH, "created_by": "stella lab"} for _ in tars],
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(OCI_CONFIG, config),
            "layers": [_descriptor(OCI_LAYER, layer) for layer in zipped],
        }
    )
    return Image(platform, manifest, config, zipped)


def push(registry: RegistryPort, path: str, tag: str, multi: MultiArchImage) -> Digest:
    """Bring an image with all its platforms into a registry; returns the digest that the tag leads to."""
    for image in multi.images:
        for blob in (image.config, *image.layers):
            if not registry.has_blob(path, Digest.of(blob)):
                registry.push_blob(path, blob)
        registry.push_manifest(path, image.manifest, OCI_MANIFEST, None)
    return registry.push_manifest(path, multi.index, OCI_INDEX, tag)


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}


def _platform(text: str) -> dict[str, str]:
    """`linux/arm64/v8` as the object that OCI documents use."""
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def _tar(entries: Sequence[File | Link]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in _folders(entries):
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
        for entry in sorted(entries, key=lambda entry: entry.path):
            _add(tar, entry)
    return buffer.getvalue()


def _folders(entries: Sequence[File | Link]) -> list[str]:
    """Every parent folder, outer ones first."""
    return sorted({str(parent) for entry in entries for parent in PurePosixPath(entry.path).parents if str(parent) != "."})


def _add(tar: tarfile.TarFile, entry: File | Link) -> None:
    if isinstance(entry, Link):
        link = _entry(entry.path, tarfile.SYMTYPE, 0o777)
        link.linkname = entry.target
        tar.addfile(link)
    else:
        file = _entry(entry.path, tarfile.REGTYPE, entry.mode)
        file.size = len(entry.content)
        tar.addfile(file, io.BytesIO(entry.content))


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """A header in which nothing depends on who builds, or when."""
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.mtime, info.uid, info.gid, info.uname, info.gname = kind, mode, 0, 0, 0, "", ""
    return info
