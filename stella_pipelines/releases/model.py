"""A release: an immutable bundle of OCI digests. Pure values; the identity is the digest of the release manifest (`manifest.py`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import StringConstraints, model_validator

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import COMPONENTS_MAX, PLATFORMS_MAX
from stella_pipelines.core.values import Value

ComponentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ReleaseName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ReleaseVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
PlatformName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9._]+)?$")]
"""`os/architecture[/variant]`, such as `linux/amd64` or `linux/arm/v7`."""


class ReleaseState(StrEnum):
    """The lifecycle: draft → finalized (immutable, has an identity) → deprecated → archived."""

    DRAFT = "draft"
    FINALIZED = "finalized"
    DEPRECATED = "deprecated"
    ARCHIVED = "archived"


class PlatformImage(Value):
    """One platform's image. `digest` is its manifest; `config_digest` is what an engine calls the image's id."""

    platform: PlatformName
    digest: Digest
    config_digest: Digest


class ReleaseComponent(Value):
    """One component of a release, pinned.

    `digest` is what the registry served for the reference: an index digest for a multi-arch image, else the only manifest's digest.
    `tag` and `resolved_at` are a note of where the digest came from; nothing reads the tag again.
    """

    name: ComponentName
    repository: str
    digest: Digest
    platforms: tuple[PlatformImage, ...]
    tag: str | None = None
    resolved_at: Instant | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        names = [image.platform for image in self.platforms]
        if not names or len(names) > PLATFORMS_MAX or len(set(names)) != len(names):
            raise ValueError(f"component {self.name}: between 1 and {PLATFORMS_MAX} platforms, each once")
        return self

    def platform(self, name: str) -> PlatformImage | None:
        """The image for a platform. An exact name wins; `linux/arm64` also accepts the image's default variant `linux/arm64/v8`."""
        exact = next((image for image in self.platforms if image.platform == name), None)
        if exact is not None:
            return exact
        same_machine = [image for image in self.platforms if image.platform.split("/")[:2] == name.split("/")[:2]]
        return same_machine[0] if len(same_machine) == 1 else None


class ReleaseSource(Value):
    """Where the release was built from; every part is optional, and shown as unknown when absent."""

    repository: str | None = None
    commit: str | None = None
    author: str | None = None
    build: str | None = None


class Release(Value):
    """A release's content. Two releases with the same content have the same identity."""

    name: ReleaseName
    version: ReleaseVersion
    components: tuple[ReleaseComponent, ...]
    source: ReleaseSource = ReleaseSource()
    created_at: Instant

    @model_validator(mode="after")
    def _components_once(self) -> Self:
        names = [component.name for component in self.components]
        if not names or len(names) > COMPONENTS_MAX or len(set(names)) != len(names):
            raise ValueError(f"a release has between 1 and {COMPONENTS_MAX} components, each once")
        return self

    def component(self, name: str) -> ReleaseComponent | None:
        """The component with this name."""
        return next((component for component in self.components if component.name == name), None)


class ReleaseRecord(Value):
    """A release as the store knows it. `digest` is the release manifest's digest, set when it is finalized."""

    release: Release
    state: ReleaseState
    digest: Digest | None = None
    finalized_at: Instant | None = None
    pushed_to: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`name-version`, for people."""
        return f"{self.release.name}-{self.release.version}"

    @property
    def partition_key(self) -> str:
        """`<name>-<version>@<12 hex>`: the key of the release's partition in Dagster."""
        if self.digest is None:
            raise ValueError("a draft has no identity yet")
        return f"{self.label}@{self.digest.short}"
