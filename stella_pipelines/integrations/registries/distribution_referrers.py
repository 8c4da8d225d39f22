"""How a registry of the OCI Distribution API 1.1 is asked for referrers, and how a tag is moved under a condition: requests and their answers.

A registry that lists referrers by itself says so by `OCI-Subject` when one is pushed; one that does not answers 404 to the list. Conditions are
sent with the entity tag that the registry gave; one that knows none ignores them, and says nothing of that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import MANIFEST_BYTES_MAX
from stella_pipelines.integrations.registries.exchange import Answer, Ask, Exchange
from stella_pipelines.integrations.registries.names import checked_path
from stella_pipelines.integrations.registries.paging import next_page
from stella_pipelines.integrations.registries.port import OCI_INDEX, ImageNotFound, Referrer, RegistryMisbehaved, TagChanged, Tagged
from stella_pipelines.integrations.registries.referrers import REFERRERS_MAX, ReferrersFull, listed, read_index

PAGES_MAX: Final = 1_000
"""Pages of a list of referrers, so that a registry cannot lead us in circles."""
LIST_BYTES_MAX: Final = 32 * 1024 * 1024
"""All pages of one list together; 10,000 entries as we write them take about 6 MB."""
PRECONDITION_FAILED: Final = 412
_STRONG_MARK: Final = re.compile(r'"[!#-~]{0,512}"')


def list_referrers(exchange: Exchange, path: str, subject: Digest, artifact_type: str | None) -> tuple[Referrer, ...] | None:
    """Every page of the list, each manifest once; None when the registry has no such list. A type that it does not choose by is the caller's to choose."""
    chosen = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type is not None else ""
    following: str | None = f"/v2/{checked_path(path)}/referrers/{Digest(subject)}{chosen}"
    found: dict[Digest, Referrer] = {}
    left_bytes = LIST_BYTES_MAX
    for page in range(PAGES_MAX):
        if following is None:
            return tuple(found.values())
        answer = _page(exchange, path, following, min(left_bytes, MANIFEST_BYTES_MAX))
        if answer is None and page == 0:
            return None
        if answer is None:
            raise _misbehaved(exchange, "lost a list of referrers between two pages of it")
        left_bytes -= len(answer.body)
        for referrer in _entries(exchange, answer):
            found.setdefault(referrer.digest, referrer)
        if len(found) > REFERRERS_MAX:
            break
        following = next_page(exchange, answer)
    raise ReferrersFull(
        f"The registry {exchange.host} lists more than {REFERRERS_MAX} referrers of {subject}, or {PAGES_MAX} pages of them.",
        next_step="Remove what is not needed any more with the registry's own tools.",
    )


def indexed_by_registry(exchange: Exchange, answer: Answer, subject: Digest) -> bool:
    """Whether the answer to a push says that the registry has understood the manifest's subject."""
    said = answer.headers.get("oci-subject")
    if said is None:
        return False
    if said.strip() != subject:
        raise _misbehaved(exchange, f"took a manifest about {subject} for one about {said[:100]!r}")
    return True


def version_of(answer: Answer) -> str | None:
    """The entity tag, if it is one that a condition may use: a weak one says that two contents are alike, not that they are the same."""
    given = answer.headers.get("etag", "")
    return given if _STRONG_MARK.fullmatch(given) else None


def conditions_of(was: Tagged | None) -> Mapping[str, str]:
    """Change the tag only if it still names this."""
    if was is None:
        return {"If-None-Match": "*"}
    return {"If-Match": was.version} if was.version is not None else {}


def require_unchanged(exchange: Exchange, answer: Answer, path: str, tag: str) -> None:
    """Nothing, when the condition held or was not known; `TagChanged` when the registry says that it did not hold."""
    if answer.status == PRECONDITION_FAILED:
        raise TagChanged(
            f"The tag {exchange.host}/{path}:{tag} was moved by somebody else just now.", next_step="Read it again, then repeat what you were doing."
        )


def _page(exchange: Exchange, path: str, address: str, bytes_max: int) -> Answer | None:
    ask = Ask("GET", address, f"repository:{path}:pull", accept=OCI_INDEX)
    try:
        return exchange.retrying(lambda: exchange.whole(ask, bytes_max))
    except ImageNotFound:
        return None


def _entries(exchange: Exchange, answer: Answer) -> tuple[Referrer, ...]:
    media_type = answer.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != OCI_INDEX:
        raise _misbehaved(exchange, f"answered a list of referrers as {media_type[:100]!r}")
    origin = f"The list of referrers of {exchange.host}"
    return listed(read_index(answer.body, origin), origin)


def _misbehaved(exchange: Exchange, what: str) -> RegistryMisbehaved:
    return RegistryMisbehaved(f"The registry {exchange.host} {what}.", next_step="Check what answers at this address.")
