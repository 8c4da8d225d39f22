"""From what an engine answers to what the control plane believes. Pure. A digest is reported only when the engine itself proves it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from stella_pipelines.connectors.docker import labels
from stella_pipelines.connectors.docker.instance import Instance, newest_first
from stella_pipelines.connectors.docker.pulling import Image
from stella_pipelines.connectors.port import Health, Observation, RunningComponent
from stella_pipelines.core.digest import Digest

_MACHINES: Final = {"armv7l": "/v7", "armv6l": "/v6", "armv5tel": "/v5"}
"""Engines on 32-bit ARM say `arm`; the variant is in the machine's name."""


def platform_of(version: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """`os/architecture[/variant]` of an engine."""
    variant = _MACHINES.get(str(info.get("Architecture")), "") if version["Arch"] == "arm" else ""
    return f"{version['Os']}/{version['Arch']}{variant}"


def uses_containerd_store(info: Mapping[str, Any]) -> bool:
    """Whether images are kept in containerd's store, where an image's id is its manifest's digest and not its config's."""
    return ["driver-type", "io.containerd.snapshotter.v1"] in [list(row) for row in info.get("DriverStatus") or ()]


def observed(
    target: str,
    now: datetime,
    instances: list[Instance],
    images: Mapping[str, Image | None],
    sticker: bytes | None,
    *,
    fence: int,
    containerd_store: bool,
) -> Observation:
    """The observation: running instances first, kept ones after them."""
    return Observation(
        target=target,
        observed_at=now,
        components=tuple(_running(one, images.get(one.image_id), containerd_store=containerd_store) for one in newest_first(instances)),
        sticker=None if sticker is None else Digest.of(sticker),
        fence=fence,
    )


def newest_running(instances: list[Instance]) -> Instance | None:
    """The running instance of the latest deployment, whose sticker speaks for the target. Deployment ids sort by time."""
    return max((one for one in instances if one.runs), key=lambda one: (one.deployment_id, one.created), default=None)


def _running(instance: Instance, image: Image | None, *, containerd_store: bool) -> RunningComponent:
    health = instance.container_health()
    return RunningComponent(
        component=instance.component,
        platform_digest=_proven(instance, image),
        config_digest=None if containerd_store else labels.as_digest(instance.image_id),
        runtime_id=instance.id,
        deployment_id=instance.deployment_id or None,
        release_digest=labels.digest_of(instance.labels, labels.RELEASE_DIGEST),
        running=instance.runs,
        health=Health.UNKNOWN if health is None else health,
    )


def _proven(instance: Instance, image: Image | None) -> Digest | None:
    """The label is a claim; the engine's record of the image that really runs is the proof."""
    claimed = labels.digest_of(instance.labels, labels.PLATFORM_DIGEST)
    return claimed if claimed is not None and image is not None and image.proves_anywhere(claimed) else None
