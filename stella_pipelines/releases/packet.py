"""The evidence of a release: what the packet is about and what it says. Pure; `service.py` seals it when a release is finalized.

The predicate is in-toto's release predicate: `purl` ties the name and version to the digests. Everything else in it is ours.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.statement import SHOWN_CHARS_MAX, Subject
from stella_pipelines.releases.manifest import document_digest
from stella_pipelines.releases.model import Release, ReleaseRecord
from stella_pipelines.releases.transfer import tag_of


def release_subjects(label: str, digest: Digest, release: Release) -> list[Subject]:
    """The release, and every image of it: what the registry serves, and each platform's own manifest. A digest stands there once.

    Whoever checks an image knows one of the two digests, and not always the same one.
    """
    names: dict[Digest, str] = {}
    for component in release.components:
        for image in (component.digest, *(found.digest for found in component.platforms)):
            names.setdefault(image, f"{component.repository}@{image}")
    return [Subject(name=label, digest=digest), *(Subject(name=_shown(name), digest=image) for image, name in names.items())]


def release_purl(release: Release, digest: Digest) -> str:
    """The package URL of the release as an OCI artifact. Where it will be pushed to is not known yet, so no repository is named."""
    return f"pkg:oci/{release.name}@{quote(digest, safe='')}?tag={quote(tag_of(release.version), safe='')}"


def release_predicate(record: ReleaseRecord, manifest: bytes, actor: Actor, finalized_at: datetime) -> dict[str, Any]:
    """What an auditor asks about a release: who finalized it when, from which source, and what it pins."""
    release, digest = record.release, Digest.of(manifest)
    return {
        "purl": release_purl(release, digest),
        "release": {"label": record.label, "name": release.name, "version": release.version, "digest": digest},
        "source": release.source.document(),
        "components": [component.document() for component in release.components],
        "finalized_by": actor.document(),
        "times": {"created_at": format_instant(release.created_at), "finalized_at": format_instant(finalized_at)},
        "inputs": [{"name": "manifest", "digest": digest}, {"name": "document", "digest": document_digest(manifest)}],
    }


def _shown(name: str) -> str:
    """A subject's name is for people and has a limit; the end says more than the beginning, and the digest is the identity anyway."""
    return name if len(name) <= SHOWN_CHARS_MAX else f"…{name[1 - SHOWN_CHARS_MAX :]}"
