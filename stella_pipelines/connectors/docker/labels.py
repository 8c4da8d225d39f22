"""What a container of ours is called and labelled. Pure. The labels are the target's own memory of who put the container there, and why."""

from __future__ import annotations

from typing import Final

from stella_pipelines.connectors.port import ComponentSpec, Effect, TargetSpec
from stella_pipelines.core.digest import Digest, InvalidDigest

COMPONENT: Final = "stella.component"
ENVIRONMENT: Final = "stella.environment"
TARGET: Final = "stella.target"
RELEASE: Final = "stella.release"
RELEASE_DIGEST: Final = "stella.release.digest"
PLATFORM_DIGEST: Final = "stella.platform.digest"
DEPLOYMENT: Final = "stella.deployment"
FENCE: Final = "stella.fence"
EFFECT: Final = "stella.effect"


def container_name(target: str, component: str, deployment_id: str) -> str:
    """Deterministic, so that creating twice is refused by the engine itself. The end of the id is its random part.

    The target is in it because two targets may be one engine: the same host by two routes, or for two environments.
    """
    return f"stella.{target}.{component}.{deployment_id[-8:]}"


def fence_name(target: str, token: int) -> str:
    """The volume that says that `token` has acted on the target. Deterministic: making it twice makes one."""
    return f"stella.fence.{target}.{token}"


def fence_labels(target: str, effect: Effect) -> dict[str, str]:
    """Every label of the volume that keeps a fence."""
    return {TARGET: target, FENCE: str(effect.fence), DEPLOYMENT: effect.deployment_id}


def labels_of(spec: TargetSpec, component: ComponentSpec, effect: Effect) -> dict[str, str]:
    """Every label of a container that runs `component` for the deployment."""
    return {
        COMPONENT: component.name,
        ENVIRONMENT: spec.environment,
        TARGET: spec.target,
        RELEASE: spec.release,
        RELEASE_DIGEST: spec.release_digest,
        PLATFORM_DIGEST: component.platform_digest,
        DEPLOYMENT: spec.deployment_id,
        FENCE: str(effect.fence),
        EFFECT: effect.key,
    }


def fence_of(labels: dict[str, str]) -> int:
    """The fencing token under which a container was made; 0 when it carries none that can be read."""
    text = labels.get(FENCE, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def digest_of(labels: dict[str, str], label: str) -> Digest | None:
    """A digest from a label; None when it is missing or is no digest, since anybody with the engine's socket can write labels."""
    return as_digest(labels.get(label, ""))


def as_digest(text: str) -> Digest | None:
    """A text as a digest, or None when it is none."""
    try:
        return Digest(text)
    except InvalidDigest:
        return None
