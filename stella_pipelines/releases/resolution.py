"""From image references to the components of a release: the one moment in which a tag is asked, and the check that it has not moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stella_pipelines.core.clock import Clock
from stella_pipelines.core.references import ImageReference
from stella_pipelines.integrations.registries.port import RegistryPort
from stella_pipelines.integrations.registries.resolve import resolve_image
from stella_pipelines.releases.errors import TagMoved
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent

Registries = Callable[[str], RegistryPort]
"""The registry at a host."""


def resolve_components(images: Mapping[str, ImageReference], registries: Registries, clock: Clock) -> tuple[ReleaseComponent, ...]:
    """Every component pinned by digest, by name. All of them, or an error: a release is never made of what happened to answer."""
    return tuple(_resolve(name, images[name], registries, clock) for name in sorted(images))


def require_tags_unmoved(release: Release, registries: Registries) -> None:
    """Nothing, when every tag of the draft still names what was pinned. Otherwise the draft is not what its author sees in the registry."""
    for component in release.components:
        if component.tag is None:
            continue
        reference = ImageReference.parse(f"{component.repository}:{component.tag}")
        found = registries(reference.host).manifest(reference.path, component.tag).digest
        if found != component.digest:
            raise TagMoved(
                f"The tag {reference} was {component.digest} when the draft was created, and is {found} now.",
                unchanged="The draft is unchanged.",
                next_step="Create the release anew under another version, or pin the image with @sha256:….",
            )


def _resolve(name: str, reference: ImageReference, registries: Registries, clock: Clock) -> ReleaseComponent:
    image = resolve_image(registries(reference.host), reference)
    by_tag = reference.digest is None
    return ReleaseComponent(
        name=name,
        repository=reference.repository,
        digest=image.digest,
        platforms=tuple(PlatformImage(platform=found.platform, digest=found.digest, config_digest=found.config_digest) for found in image.platforms),
        tag=reference.tag if by_tag else None,
        resolved_at=clock.now() if by_tag else None,
    )
