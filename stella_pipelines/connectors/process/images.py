"""Images on a process target: pulled through the control plane's registry port, every blob verified, and unpacked.

`manifests/<platform digest>.json` is the manifest exactly as served; `images/<config digest>/` holds `config.json` and `rootfs/`. The names are
the hashes of manifest and config, which are proven again at each use. The files in `rootfs/` are proven once, when they are unpacked; nothing
runs in them: each instance gets a copy of its own. The manifest is written last: it says "complete".
"""

from __future__ import annotations

import errno
import json
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stella_pipelines.connectors.kinds import Registries
from stella_pipelines.connectors.port import ComponentSpec, ConnectorError, DigestMismatch, ImageUnavailable, TargetDiskFull, TargetRefused
from stella_pipelines.connectors.process.files import appearing_folder, write_atomically
from stella_pipelines.connectors.process.layers import HashedStream, decompressed
from stella_pipelines.connectors.process.unpacking import Unpacking
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import CONFIG_BYTES_MAX, LAYER_BYTES_MAX, UNPACKED_BYTES_MAX
from stella_pipelines.core.references import ImageReference
from stella_pipelines.integrations.registries.port import RegistryLied, RegistryPort


class _Foreign(BaseModel):
    """A document that others write: keys that we do not need are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Document = TypeVar("Document", bound=_Foreign)


class Descriptor(_Foreign):
    """A pointer to a blob."""

    digest: Digest


class ImageManifest(_Foreign):
    """The two things that an image manifest is read for."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


class Healthcheck(_Foreign):
    """The image's HEALTHCHECK; times are nanoseconds, and 0 means the default."""

    test: tuple[str, ...] = Field(default=(), alias="Test")
    interval_ns: int = Field(default=0, alias="Interval")
    timeout_ns: int = Field(default=0, alias="Timeout")
    start_period_ns: int = Field(default=0, alias="StartPeriod")
    retries: int = Field(default=0, alias="Retries")


class RunSettings(_Foreign):
    """How the image wants to be run."""

    entrypoint: tuple[str, ...] | None = Field(default=None, alias="Entrypoint")
    command: tuple[str, ...] | None = Field(default=None, alias="Cmd")
    environment: tuple[str, ...] | None = Field(default=None, alias="Env")
    working_directory: str = Field(default="", alias="WorkingDir")
    healthcheck: Healthcheck | None = Field(default=None, alias="Healthcheck")


class RootFs(_Foreign):
    """The layers' digests before compression."""

    diff_ids: tuple[Digest, ...]


class ImageConfig(_Foreign):
    """The config blob; its digest is the image's identity."""

    config: RunSettings = RunSettings()
    rootfs: RootFs


class Images:
    """The images below one target's folder."""

    def __init__(self, directory: Path, registries: Registries, target: str) -> None:
        self._directory = directory
        self._registries = registries
        self._target = target

    def rootfs(self, config_digest: Digest) -> Path:
        """Where the image's files are, to be copied."""
        return self._folder(config_digest) / "rootfs"

    def config(self, config_digest: Digest) -> ImageConfig:
        """The image's config, verified again."""
        path = self._folder(config_digest) / "config.json"
        content = path.read_bytes() if path.is_file() else b""
        if not config_digest.matches(content):
            raise ImageUnavailable(f"Target {self._target} does not have the image {config_digest}.", next_step="Prepare the target again.")
        return self._read(ImageConfig, content)

    def config_digest(self, platform_digest: Digest) -> Digest | None:
        """The config of a complete image, proven by its manifest; None when the target does not have it."""
        path = self._manifest_path(platform_digest)
        content = path.read_bytes() if path.is_file() else b""
        if not platform_digest.matches(content):
            return None
        digest = self._read(ImageManifest, content).config.digest
        return digest if self.rootfs(digest).is_dir() else None

    def pull(self, component: ComponentSpec) -> None:
        """Bring the image here, unless it is here already."""
        if self.config_digest(component.platform_digest) == component.config_digest:
            return
        with self._translated(component):
            reference = ImageReference.parse(component.image())
            registry = self._registries(reference.host)
            served = registry.manifest(reference.path, component.platform_digest)
            manifest = self._read(ImageManifest, served.content)
            self._require_config(component, manifest)
            self._unpack(registry, reference.path, manifest)
            write_atomically(self._made(self._manifest_path(component.platform_digest)), served.content, 0o444)

    def _unpack(self, registry: RegistryPort, path: str, manifest: ImageManifest) -> None:
        folder = self._folder(manifest.config.digest)
        if folder.exists():
            return
        content = registry.blob(path, manifest.config.digest, CONFIG_BYTES_MAX)
        diff_ids = self._read(ImageConfig, content).rootfs.diff_ids
        if len(diff_ids) != len(manifest.layers):
            raise DigestMismatch(f"The image has {len(manifest.layers)} layers, and its config names {len(diff_ids)}.", next_step="Rebuild the image.")
        with appearing_folder(folder) as hidden:
            root = hidden / "rootfs"
            root.mkdir()
            unpacking = Unpacking(root, UNPACKED_BYTES_MAX)
            for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
                _apply(unpacking, registry, path, layer.digest, diff_id, hidden)
            write_atomically(hidden / "config.json", content, 0o444)

    def _require_config(self, component: ComponentSpec, manifest: ImageManifest) -> None:
        if manifest.config.digest != component.config_digest:
            raise DigestMismatch(
                f"The manifest {component.platform_digest} names the config {manifest.config.digest}; the release says {component.config_digest}.",
                next_step="Create the release again from this image.",
            )

    @contextmanager
    def _translated(self, component: ComponentSpec) -> Iterator[None]:
        """Registry and disk errors as connector errors."""
        try:
            yield
        except ConnectorError:
            raise
        except RegistryLied as error:
            raise DigestMismatch(error.what, unchanged=error.unchanged, next_step=error.next_step) from error
        except StellaError as error:
            raise ImageUnavailable(f"Target {self._target} cannot get {component.image()}: {error.what}", next_step=error.next_step) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TargetDiskFull(f"Target {self._target} has no room for {component.image()}.", next_step="Free space, then retry.") from error
            raise self._broken(component, error) from error
        except (tarfile.TarError, zlib.error, EOFError) as error:
            raise self._broken(component, error) from error

    def _broken(self, component: ComponentSpec, error: Exception) -> TargetRefused:
        return TargetRefused(f"Target {self._target} cannot unpack {component.image()}: {error}.", next_step="Check the image and the target's folder.")

    def _read(self, kind: type[Document], content: bytes) -> Document:
        try:
            return kind.model_validate(json.loads(content))
        except (ValueError, ValidationError, RecursionError) as error:
            raise ImageUnavailable(f"Target {self._target}: this is no image that can be run: {type(error).__name__}.", next_step="Check the image.") from error

    def _folder(self, config_digest: Digest) -> Path:
        return self._directory / "images" / config_digest.hex

    def _manifest_path(self, platform_digest: Digest) -> Path:
        return self._directory / "manifests" / f"{platform_digest.hex}.json"

    def _made(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _apply(unpacking: Unpacking, registry: RegistryPort, path: str, digest: Digest, diff_id: Digest, folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as blob:
        registry.blob_to(path, digest, blob, LAYER_BYTES_MAX)
        blob.seek(0)
        stream = HashedStream(decompressed(blob), UNPACKED_BYTES_MAX)
        unpacking.layer(stream)  # type: ignore[arg-type]  # a RawIOBase reads like a BinaryIO; tarfile only reads
        stream.require(diff_id)
