"""How people name a release: `shop-1.4.0`, `shop:1.4.0`, the identity `sha256:…`, or the partition key `shop-1.4.0@<12 hex>`. And how its parts are
written when it is created. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from pydantic import TypeAdapter, ValidationError

from stella_pipelines.core.digest import Digest, InvalidDigest
from stella_pipelines.core.limits import COMPONENTS_MAX
from stella_pipelines.core.values import Value
from stella_pipelines.releases.errors import ReleaseInvalid, ReleaseMissing
from stella_pipelines.releases.model import ComponentName, ReleaseName, ReleaseVersion

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
        raise ReleaseMissing(
            f"{text[:100]!r} does not name a release.",
            next_step="Write its name and version, such as shop-1.4.0, or its sha256:… identity; 'stella release list' shows them.",
        )
    return ReleaseLabel(name=match["name"], version=match["version"], short=match["short"])


_WRITTEN: Final = {
    "a release's name": "a lower-case letter first, then a–z, 0–9 and _ (63 at most), such as shop or web_shop; a hyphen separates name and version",
    "a release's version": "a letter or digit first, then letters, digits and . _ + - (64 at most), such as 1.4.0 or 2026-11-23.1",
    "a component's name": "a lower-case letter first, then a–z, 0–9 and _ (63 at most), such as web or mail_worker",
}


def require_names(name: str, version: str, components: Collection[str]) -> None:
    """Nothing, when a release can have these. What can be wrong without asking any registry."""
    if not 1 <= len(components) <= COMPONENTS_MAX:
        raise ReleaseInvalid(f"{len(components)} images were given.", next_step=f"A release has between 1 and {COMPONENTS_MAX} components.")
    named = [("a release's name", ReleaseName, name), ("a release's version", ReleaseVersion, version)]
    for what, rule, text in [*named, *(("a component's name", ComponentName, component) for component in components)]:
        try:
            TypeAdapter(rule).validate_python(text)
        except ValidationError as error:
            raise ReleaseInvalid(f"{text[:100]!r} cannot be {what}.", next_step=f"Write {_WRITTEN[what]}.") from error
