"""What each target shall run: rendered from the estate, or as an earlier deployment had it. Pure.

A promotion renders the release with the estate as it stands. A retry and a rollback do not: what was approved, or proven, is what was stored
with that deployment, and an estate that was edited since must not slip into it under another decision's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stella_pipelines.connectors.port import ComponentSpec, ImageUnavailable
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.errors import PlanIncomplete
from stella_pipelines.environments.model import Component, Environment, Estate
from stella_pipelines.releases.model import Release, ReleaseComponent

Wanted = Callable[[str, str], tuple[ComponentSpec, ...]]
"""(target, its platform) → every component as the target shall run it, by name. May raise a `StellaError` that says why it cannot."""


class EarlierSpecs(Value):
    """How a deployment had its components on one target, and for which platform."""

    platform: str
    components: tuple[ComponentSpec, ...]


def rendered(release: Release, environment: Environment, estate: Estate) -> Wanted:
    """The release with the estate's settings, the same on every target of a platform."""

    def wanted(target: str, platform: str) -> tuple[ComponentSpec, ...]:
        del target
        names = environment.components or tuple(component.name for component in release.components)
        return tuple(_spec(release, estate.component(name), name, environment, platform) for name in sorted(names))

    return wanted


def as_earlier(earlier: Mapping[str, EarlierSpecs], otherwise: Wanted) -> Wanted:
    """As an earlier deployment had it. A target that it did not have, or that is another machine now, gets what `otherwise` says."""

    def wanted(target: str, platform: str) -> tuple[ComponentSpec, ...]:
        found = earlier.get(target)
        return found.components if found is not None and found.platform == platform else otherwise(target, platform)

    return wanted


def only_earlier(earlier: Mapping[str, EarlierSpecs]) -> Wanted:
    """As an earlier deployment had it, and nothing else: what it did not have for a target was not approved for it either."""

    def wanted(target: str, platform: str) -> tuple[ComponentSpec, ...]:
        found = earlier.get(target)
        if found is None or found.platform != platform:
            was = f"was {found.platform}" if found else "was not there"
            raise PlanIncomplete(f"it {was} when the deployment was approved, and is {platform} now", next_step="Promote the release again.")
        return found.components

    return wanted


def _spec(release: Release, settings: Component | None, name: str, environment: Environment, platform: str) -> ComponentSpec:
    released = release.component(name)
    if released is None or settings is None:
        where = "release" if released is None else "estate"
        raise PlanIncomplete(f"the {where} has no component {name}", next_step="Add it, or name the environment's 'components'.")
    image = released.platform(platform)
    if image is None:
        raise ImageUnavailable(_no_image(released, platform), next_step="Build the image for this platform and create a new release.")
    return ComponentSpec(
        name=name,
        repository=released.repository,
        index_digest=released.digest,
        platform_digest=image.digest,
        config_digest=image.config_digest,
        ports=settings.ports,
        variables={**settings.variables, **environment.variables},
        secrets=dict(settings.secrets),
        health=settings.health,
        stop_timeout_s=settings.stop_timeout_s,
    )


def _no_image(released: ReleaseComponent, platform: str) -> str:
    return f"component {released.name} has no image for {platform} (it has {', '.join(image.platform for image in released.platforms)})"
