"""From an image reference to the digests of a release: what the registry serves, and every platform's image behind it.

This is the only place that asks what a tag means, and it is called when a release is created (and once more when a draft is
finalized, to see that the tag did not move). Nothing that deploys comes here.
"""

from __future__ import annotations

import re
from typing import Final

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import CONFIG_BYTES_MAX, PLATFORMS_MAX
from stella_pipelines.core.references import ImageReference
from stella_pipelines.core.values import Value
from stella_pipelines.integrations.registries.manifests import Descriptor, ImageIndex, ImageManifest, parse_document, platform_name, read_image, read_manifest
from stella_pipelines.integrations.registries.port import ImageUnsupported, RegistryPort

_PLATFORM: Final = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9._]+)?")


class ReferenceUnpinned(StellaError):
    """An image reference has neither tag nor digest; 'latest' is never assumed."""

    code = "VAL_REFERENCE_UNPINNED"


class ResolvedPlatform(Value):
    """One platform's image: its manifest, and its config (what an engine calls the image's id)."""

    platform: str
    digest: Digest
    config_digest: Digest


class ResolvedImage(Value):
    """What a reference means now. `digest` is the index for a multi-arch image, else the only manifest."""

    digest: Digest
    media_type: str
    platforms: tuple[ResolvedPlatform, ...]


def resolve_image(registry: RegistryPort, reference: ImageReference) -> ResolvedImage:
    """Ask the registry what `reference` is. A digest wins over a tag that stands beside it; the tag is not asked then."""
    wanted = reference.digest or reference.tag
    if wanted is None:
        raise ReferenceUnpinned(f"{reference} names neither a tag nor a digest.", next_step="Write …:tag or …@sha256:…; 'latest' is never assumed.")
    served = registry.manifest(reference.path, wanted)
    document = read_manifest(served)
    if isinstance(document, ImageIndex):
        platforms = _of_index(registry, reference, document)
    else:
        platforms = (_of_image(registry, reference, served.digest, document, None),)
    return ResolvedImage(digest=served.digest, media_type=served.media_type, platforms=platforms)


def _of_index(registry: RegistryPort, reference: ImageReference, index: ImageIndex) -> tuple[ResolvedPlatform, ...]:
    entries = [entry for entry in index.manifests if not entry.is_attestation]
    if not entries or len(entries) > PLATFORMS_MAX:
        raise _unsupported(reference, f"has {len(entries)} platforms; between 1 and {PLATFORMS_MAX} can be released")
    found: dict[str, ResolvedPlatform] = {}
    for entry in _without_os_versions(entries):
        platform = _of_entry(registry, reference, entry)
        if platform.platform in found:
            raise _unsupported(reference, f"names {platform.platform} twice, so what would run depends on the reader")
        found[platform.platform] = platform
    if not found:
        raise _unsupported(reference, "has no platform that a digest alone identifies")
    return tuple(found[name] for name in sorted(found))


def _without_os_versions(entries: list[Descriptor]) -> list[Descriptor]:
    """Entries whose platform is told apart from another's only by its OS version (Windows builds) are left out: which one runs is the host's choice."""
    names = [entry.platform for entry in entries]
    return [entry for entry in entries if entry.os_version is None or names.count(entry.platform) == 1]


def _of_entry(registry: RegistryPort, reference: ImageReference, entry: Descriptor) -> ResolvedPlatform:
    served = registry.manifest(reference.path, entry.digest)
    if len(served.content) != entry.size:
        raise _unsupported(reference, f"promises {entry.size} bytes for {entry.digest}, which has {len(served.content)}")
    return _of_image(registry, reference, served.digest, read_image(served), entry.platform)


def _of_image(registry: RegistryPort, reference: ImageReference, digest: Digest, image: ImageManifest, platform: str | None) -> ResolvedPlatform:
    if not image.is_container_image:
        raise _unsupported(reference, f"is an artifact ({image.config.media_type[:100]}), not a container image")
    if platform is None:
        platform = _platform_of_config(registry, reference, image.config)
    if not _PLATFORM.fullmatch(platform):
        raise _unsupported(reference, f"names a platform that is none: {platform[:100]!r}")
    return ResolvedPlatform(platform=platform, digest=digest, config_digest=image.config.digest)


def _platform_of_config(registry: RegistryPort, reference: ImageReference, config: Descriptor) -> str:
    content = registry.blob(reference.path, config.digest, min(config.size, CONFIG_BYTES_MAX))
    try:
        return platform_name(parse_document(content, str(config.digest)))
    except (KeyError, TypeError) as error:
        raise _unsupported(reference, "does not say for which platform it is") from error


def _unsupported(reference: ImageReference, reason: str) -> ImageUnsupported:
    return ImageUnsupported(f"The image {reference} {reason}.", next_step="Release a container image with one image per platform.")
