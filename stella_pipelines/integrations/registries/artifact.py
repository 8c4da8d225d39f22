"""A small document as an OCI artifact about another manifest (image-spec 1.1: `artifactType`, `subject`, one layer, the empty config). Pure.

The manifest is a function of what is given: the same document about the same subject is the same digest, so attaching twice is attaching once.
What the document is, and whether it is true, is the business of whoever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.integrations.registries.manifests import Descriptor, parse_document
from stella_pipelines.integrations.registries.port import OCI_MANIFEST, ImageUnsupported, Manifest, Referrer, RegistryError

EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
EMPTY_CONFIG: Final = b"{}"
"""The content of the OCI empty descriptor."""
TITLE: Final = "org.opencontainers.image.title"


class ArtifactInvalid(RegistryError):
    """What is listed as attached to a manifest is not an artifact about it: another subject, size, type, or not one layer."""

    code = "INT_ARTIFACT_INVALID"


class Layer(Value):
    """The document that is attached. `title` is the file name under which a general OCI tool saves it."""

    media_type: str
    content: bytes
    title: str


class Artifact(Value):
    """An artifact manifest that was read: its type, its only layer, and what it says that it is about."""

    artifact_type: str
    layer: Descriptor
    subject: Digest


def artifact_manifest(layer: Layer, subject: Manifest, annotations: Mapping[str, str]) -> bytes:
    """The manifest that attaches `layer` to `subject`. Its type is the layer's, as cosign's bundle specification has it."""
    pointed = _descriptor(layer.media_type, layer.content) | {"annotations": {TITLE: layer.title}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": layer.media_type,
        "config": _descriptor(EMPTY_TYPE, EMPTY_CONFIG),
        "layers": [pointed],
        "subject": _descriptor(subject.media_type, subject.content),
        "annotations": dict(annotations),
    }
    return canonical_json(manifest)


def referrer_of(manifest: bytes) -> Referrer:
    """The entry that a list of referrers must have for an artifact manifest of ours."""
    document = parse_document(manifest, "of the artifact")
    return Referrer(
        media_type=OCI_MANIFEST,
        digest=Digest.of(manifest),
        size=len(manifest),
        artifact_type=document["artifactType"],
        annotations=document["annotations"],
    )


def read_artifact(served: Manifest, listed: Referrer, subject: Digest) -> Artifact:
    """The artifact, if it is what the list says and is about `subject`; `ArtifactInvalid` otherwise."""
    if len(served.content) != listed.size:
        raise invalid(listed.digest, f"has {len(served.content)} bytes, and {listed.size} are listed")
    artifact = _parsed(served)
    if artifact.subject != subject:
        raise invalid(listed.digest, f"is about {artifact.subject}, and not about {subject}")
    if artifact.artifact_type != listed.artifact_type:
        raise invalid(listed.digest, f"is of the type {artifact.artifact_type[:100]!r}, and {str(listed.artifact_type)[:100]!r} is listed")
    return artifact


def invalid(digest: Digest, reason: str) -> ArtifactInvalid:
    """The refusal of one attached artifact."""
    return ArtifactInvalid(f"The attached artifact {digest} {reason}.", next_step="Do not use it; find out who wrote it into the registry.")


def _parsed(served: Manifest) -> Artifact:
    try:
        document = parse_document(served.content, str(served.digest))
        (layer,) = document["layers"]
        found = Artifact(artifact_type=document["artifactType"], layer=_pointer(layer), subject=document["subject"]["digest"])
    except (ImageUnsupported, ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise invalid(served.digest, "is no artifact manifest with a subject and one layer") from error
    if document.get("schemaVersion") != 2 or document.get("mediaType") != OCI_MANIFEST or served.media_type != OCI_MANIFEST or "manifests" in document:
        raise invalid(served.digest, "is not an OCI image manifest")
    if found.layer.media_type != found.artifact_type:
        raise invalid(served.digest, f"has a layer of the type {found.layer.media_type[:100]!r}, which is not its own")
    return found


def _pointer(entry: dict[str, Any]) -> Descriptor:
    return Descriptor(media_type=entry["mediaType"], digest=entry["digest"], size=entry["size"])


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}
