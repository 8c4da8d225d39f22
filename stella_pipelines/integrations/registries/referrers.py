"""The list of what is attached to a manifest, where the registry keeps none: an image index behind the tag `sha256-<hex>` (OCI distribution 1.1,
"referrers tag schema"). Pure: bytes in, bytes out; who reads and writes the tag is `referring.py`.

The index belongs to everybody who attaches something. Entries of others, and whatever else they wrote beside them, are kept as they are and in
their order; an index that cannot be kept so (a number that Python would write differently, a key that stands twice) is refused, not repaired.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from pydantic import ValidationError

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import MANIFEST_BYTES_MAX
from stella_pipelines.integrations.registries.port import OCI_INDEX, Manifest, Referrer, RegistryError

REFERRERS_MAX: Final = 10_000
"""Entries about one subject that are read; an index of 4 MiB has room for about as many."""
_WRITTEN_BYTES_MAX: Final = MANIFEST_BYTES_MAX
"""An index that is written: no registry has to take a larger one."""


class ReferrersUnreadable(RegistryError):
    """What should list the referrers of a manifest is no such list, or one that could not be written again without changing what others wrote."""

    code = "INT_REFERRERS_UNREADABLE"


class ReferrersFull(RegistryError):
    """The list of referrers of a manifest is as large as a registry must take, or as is read here."""

    code = "INT_REFERRERS_FULL"


def fallback_tag(subject: Digest) -> str:
    """The tag that stands for the list of a subject's referrers."""
    return f"sha256-{subject.hex}"


def empty_index() -> dict[str, Any]:
    """The list of nothing."""
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def read_index(content: bytes, origin: str) -> dict[str, Any]:
    """The index as it stands there, whatever its entries hold. `origin` says in words where it came from."""
    try:
        document = json.loads(content.decode(), object_pairs_hook=_unique, parse_int=_exact, parse_float=_refuse, parse_constant=_refuse)
        json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair reads, and cannot be written
        entries = document["manifests"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _unreadable(origin, "it is not plain JSON with a list of manifests") from error
    if document.get("schemaVersion") != 2 or document.get("mediaType", OCI_INDEX) != OCI_INDEX or not isinstance(entries, list):
        raise _unreadable(origin, "it is not an OCI image index")
    if "config" in document or "layers" in document:
        raise _unreadable(origin, "it is an image and an index at once")
    if len(entries) > REFERRERS_MAX:
        raise ReferrersFull(f"{origin} lists more than {REFERRERS_MAX} entries.", next_step="Remove what is not needed any more with the registry's own tools.")
    return dict(document)


def listed(document: dict[str, Any], origin: str) -> tuple[Referrer, ...]:
    """The entries of an index as values. One with a digest of another algorithm than sha256 is left out: nothing here could fetch it."""
    try:
        return tuple(_referrer(entry) for entry in document["manifests"] if _is_sha256(entry["digest"]))
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(origin, "an entry is no descriptor") from error


def merged(present: dict[str, Any], entries: Iterable[Referrer], origin: str) -> bytes | None:
    """The index with these entries, as bytes; None when it has all of them already. What is there stays, and what is new comes after it."""
    known = {entry.get("digest") for entry in present["manifests"] if isinstance(entry, dict)}
    new = {entry.digest: descriptor(entry) for entry in entries if entry.digest not in known}
    if not new:
        return None
    document = {"mediaType": OCI_INDEX, **present, "manifests": [*present["manifests"], *new.values()]}
    content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    if len(content) > _WRITTEN_BYTES_MAX or len(document["manifests"]) > REFERRERS_MAX:
        raise ReferrersFull(
            f"{origin} has no room for {len(new)} more entries: {len(present['manifests'])} are there.",
            next_step="Attach fewer packets, or use a registry that keeps the list of referrers itself.",
        )
    return content


def descriptor(referrer: Referrer) -> dict[str, Any]:
    """An entry as the specification wants it: with the type and the annotations of the manifest that it points to."""
    document: dict[str, Any] = {"mediaType": referrer.media_type, "digest": referrer.digest, "size": referrer.size}
    if referrer.artifact_type is not None:
        document["artifactType"] = referrer.artifact_type
    return document | ({"annotations": dict(referrer.annotations)} if referrer.annotations else {})


def require_index(manifest: Manifest, origin: str) -> dict[str, Any]:
    """The index behind a fallback tag. Something else behind it is somebody's, and is left alone."""
    if manifest.media_type != OCI_INDEX:
        raise _unreadable(origin, f"it is served as {manifest.media_type[:100]!r}")
    return read_index(manifest.content, origin)


def _is_sha256(digest: str) -> bool:
    return digest.startswith("sha256:")


def _referrer(entry: dict[str, Any]) -> Referrer:
    return Referrer(
        media_type=entry["mediaType"],
        digest=entry["digest"],
        size=entry["size"],
        artifact_type=entry.get("artifactType") or None,
        annotations=entry.get("annotations") or {},
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _exact(text: str) -> int:
    number = int(text)
    return number if str(number) == text else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} would be written differently than it was read")


def _unreadable(origin: str, reason: str) -> ReferrersUnreadable:
    return ReferrersUnreadable(
        f"{origin} cannot be read as a list of referrers: {reason}.",
        next_step="Look at it with 'skopeo inspect --raw'; what stands there was written by another tool, and is left as it is.",
    )
