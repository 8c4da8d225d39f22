"""Repository paths, tags and digests checked before they become part of a URL or a file name. Pure."""

from __future__ import annotations

import re

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import TAG_PATTERN, ImageReference, InvalidReference


def checked_path(path: str) -> str:
    """`path`, if it is a repository path of the OCI grammar."""
    reference = ImageReference.parse(f"localhost/{path}")
    if reference.path != path:
        raise InvalidReference(f"{path[:100]!r} is not a repository path.", next_step="Write lower-case names separated by '/', without host, tag or digest.")
    return path


def checked_tag(tag: str) -> str:
    """`tag`, if it is a tag of the OCI grammar."""
    if not re.fullmatch(TAG_PATTERN, tag):
        raise InvalidReference(f"{tag[:140]!r} is not a tag.", next_step="A tag has up to 128 letters, digits, '_', '.' and '-'.")
    return tag


def tag_or_digest(reference: str) -> str | Digest:
    """A manifest reference as what it is. A tag never contains a colon, so the two cannot be confused."""
    return Digest(reference) if ":" in reference else checked_tag(reference)
