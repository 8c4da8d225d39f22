"""Reading what an engine says while it pulls, and proving afterwards that the image is the released one. Pure.

A pull answers 200 before it starts; its failure is a line in the progress stream. A library that does not read the stream calls it a success.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stella_pipelines.connectors.docker.errors import image_unavailable
from stella_pipelines.connectors.port import ComponentSpec, ConnectorError, DigestMismatch
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value

_DIGEST_LINE: Final = "Digest: "
_HUB: Final = ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/")
"""Engines drop these prefixes from the names of images that come from Docker Hub."""


class Image(Value):
    """An image as an engine describes it. `id` is the config's digest, or the manifest's on a containerd image store."""

    id: str
    repo_digests: tuple[str, ...]

    def proves(self, repository: str, digest: Digest) -> bool:
        """Whether the engine itself says that it pulled this image from `repository` under `digest`."""
        return f"{familiar(repository)}@{digest}" in {familiar(name) for name in self.repo_digests}

    def proves_anywhere(self, digest: Digest) -> bool:
        """Whether the engine itself says that it pulled this image under `digest` from any repository."""
        return any(name.endswith(f"@{digest}") for name in self.repo_digests)


def require_success(lines: Iterable[Mapping[str, object]], target: str, image: str, digest: Digest) -> None:
    """Read a pull's progress to its end, which gives the connection back. Raises when any line is an error, or announces another digest."""
    failure: ConnectorError | None = None
    for line in lines:
        failure = failure or _failure(line, target, image, digest)
    if failure is not None:
        raise failure


def _failure(line: Mapping[str, object], target: str, image: str, digest: Digest) -> ConnectorError | None:
    detail, status = line.get("errorDetail"), str(line.get("status", ""))
    if line.get("error") or detail:
        words = detail.get("message") if isinstance(detail, Mapping) else None
        return image_unavailable(target, image, str(words or line.get("error")))
    if status.startswith(_DIGEST_LINE) and status.removeprefix(_DIGEST_LINE) != digest:
        return DigestMismatch(
            f"Target {target} was asked to pull {image} and pulled {status.removeprefix(_DIGEST_LINE)}.",
            unchanged="What runs there goes on running.",
            next_step="Do not trust the registry or a proxy before it until you know why.",
        )
    return None


def require_proof(image: Image, component: ComponentSpec, target: str, *, containerd_store: bool) -> None:
    """Raise unless the engine's own record of the image is the release's: the platform digest it pulled, and the content's identity."""
    identities = {component.platform_digest, component.index_digest, component.config_digest} if containerd_store else {component.config_digest}
    if image.proves(component.repository, component.platform_digest) and image.id in identities:
        return
    raise DigestMismatch(
        f"Target {target} has {component.image()} as image {image.id} with {', '.join(image.repo_digests) or 'no digests'};"
        f" the release says {component.config_digest}.",
        unchanged="What runs there goes on running.",
        next_step="Remove the image from the target and look for who put it there.",
    )


def familiar(name: str) -> str:
    """A repository as engines write it."""
    prefix = next((prefix for prefix in _HUB if name.startswith(prefix)), "")
    return name[len(prefix) :]
