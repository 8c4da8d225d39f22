"""How people name a release: `shop-1.4.0`, `shop:1.4.0`, the identity `sha256:…`, or the partition key `shop-1.4.0@<12 hex>`. Pure."""

from __future__ import annotations

import re
from typing import Final

from stella_pipelines.core.digest import Digest, InvalidDigest
from stella_pipelines.core.values import Value
from stella_pipelines.releases.errors import ReleaseMissing

# A release's name has no '-' and no ':', so the first of them ends it, whatever the version holds.
_LABEL: Final = re.compile(r"(?P<name>[a-z][a-z0-9_]{0,62})[-:](?P<version>[A-Za-z0-9][A-Za-z0-9._+-]{0,63})(?:@(?P<short>[0-9a-f]{12}))?")


class ReleaseLabel(Value):
    """A name and version; `short` is the beginning of the identity, when it was given."""

    name: str
    version: str
    short: str | None = None


def parse_release_name(text: str) -> Digest | ReleaseLabel:
    """What `text` asks for. A digest is tried first: it is an identity, and no label can take its place."""
    try:
        return Digest(text)
    except InvalidDigest:
        match = _LABEL.fullmatch(text)
    if match is None:
        raise ReleaseMissing(f"{text[:100]!r} does not name a release.", next_step="Write name-version, name:version or the release's sha256:… identity.")
    return ReleaseLabel(name=match["name"], version=match["version"], short=match["short"])
