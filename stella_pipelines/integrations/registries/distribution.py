"""A registry that speaks the OCI Distribution API 1.1: which request asks what, and what its answer must look like.

How a request travels (credentials, redirects, retries, TLS) is `exchange.py`'s business; what is said about referrers and conditions, that of
`distribution_referrers.py`. Not used: deletion, chunked uploads (a blob is one request), cross-repository mounts.
"""

from __future__ import annotations

import io
import json
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

import httpx

from stella_pipelines.core.digest import Digest, InvalidDigest
from stella_pipelines.core.limits import MANIFEST_BYTES_MAX
from stella_pipelines.core.references import InvalidReference
from stella_pipelines.integrations.registries.authorization import Credentials
from stella_pipelines.integrations.registries.distribution_referrers import (
    PRECONDITION_FAILED,
    conditions_of,
    indexed_by_registry,
    list_referrers,
    require_unchanged,
    version_of,
)
from stella_pipelines.integrations.registries.exchange import Answer, Ask, Exchange, Pace
from stella_pipelines.integrations.registries.manifests import refuse_schema1
from stella_pipelines.integrations.registries.names import checked_path, checked_tag, tag_or_digest
from stella_pipelines.integrations.registries.paging import next_page
from stella_pipelines.integrations.registries.port import MANIFEST_TYPES, ImageNotFound, Manifest, Referrer, RegistryMisbehaved, Tagged
from stella_pipelines.integrations.registries.verified import copy_verified, digest_of_rest, require_digest

TAGS_MAX: Final = 100_000
"""Tags of one repository that are listed; nightly builds of 50 years."""
TAG_PAGES_MAX: Final = 1_000
"""Pages of a tag list, so that a registry cannot lead us in circles."""
TAG_PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""One page of a tag list."""
SMALL_ANSWER_BYTES_MAX: Final = 64 * 1024
"""The body of an answer whose status is all that matters."""
NO_CONDITIONS: Final[Mapping[str, str]] = {}
_CREATED: Final = frozenset({201})


class DistributionRegistry:
    """One registry host. Connections are kept open between requests and given back by `close()` or with the object."""

    def __init__(
        self, host: str, *, plain_http: bool = False, ca_file: Path | None = None, credentials: Credentials | None = None, pace: Pace | None = None
    ) -> None:
        self.host = host
        self._exchange = Exchange(host, plain_http=plain_http, ca_file=ca_file, credentials=credentials, pace=pace or Pace())
        self.close = weakref.finalize(self, self._exchange.close)

    def manifest(self, path: str, reference: str | Digest) -> Manifest:
        return self._served(path, reference)[0]

    def tagged(self, path: str, tag: str) -> Tagged | None:
        try:
            served, answer = self._served(path, checked_tag(tag))
        except ImageNotFound:
            return None
        return Tagged(manifest=served, version=version_of(answer))

    def blob(self, path: str, digest: Digest, bytes_max: int) -> bytes:
        buffer = io.BytesIO()
        self.blob_to(path, digest, buffer, bytes_max)
        return buffer.getvalue()

    def blob_to(self, path: str, digest: Digest, file: BinaryIO, bytes_max: int) -> int:
        ask, start = Ask("GET", _blob(path, digest), _pull(path), follow=True), file.tell()

        def attempt() -> int:
            file.seek(start)
            file.truncate()
            with self._exchange.answer(ask) as response:
                return copy_verified(response.iter_raw(), file, digest, bytes_max, f"The registry {self.host}")

        return self._exchange.retrying(attempt)

    def has_blob(self, path: str, digest: Digest) -> bool:
        ask = Ask("HEAD", _blob(path, digest), _pull(path), follow=True)
        try:
            self._exchange.retrying(lambda: self._exchange.whole(ask, SMALL_ANSWER_BYTES_MAX))
        except ImageNotFound:
            return False
        return True

    def push_blob(self, path: str, content: bytes) -> Digest:
        digest = Digest.of(content)
        if not self.has_blob(path, digest):
            self._upload(path, digest, content, len(content))
        return digest

    def push_blob_from(self, path: str, digest: Digest, file: BinaryIO) -> None:
        start = file.tell()
        require_digest(digest, digest_of_rest(file), "The given file")
        if not self.has_blob(path, digest):
            self._upload(path, digest, file, file.tell() - start)

    def push_manifest(self, path: str, content: bytes, media_type: str, tag: str | None) -> Digest:
        digest = Digest.of(content)
        self._put_manifest(path, content, media_type, checked_tag(tag) if tag is not None else digest)
        return digest

    def move_tag(self, path: str, content: bytes, media_type: str, tag: str, was: Tagged | None) -> Digest:
        answer = self._put_manifest(path, content, media_type, checked_tag(tag), conditions_of(was))
        require_unchanged(self._exchange, answer, path, tag)
        return Digest.of(content)

    def push_referrer(self, path: str, content: bytes, media_type: str, subject: Digest) -> bool:
        answer = self._put_manifest(path, content, media_type, Digest.of(content))
        return indexed_by_registry(self._exchange, answer, subject)

    def referrers(self, path: str, subject: Digest, artifact_type: str | None) -> tuple[Referrer, ...] | None:
        return list_referrers(self._exchange, path, subject, artifact_type)

    def tags(self, path: str) -> list[str]:
        found: set[str] = set()
        following: str | None = f"/v2/{checked_path(path)}/tags/list?n=1000"
        for _ in range(TAG_PAGES_MAX):
            if following is None:
                return sorted(found)
            page, following = self._tag_page(Ask("GET", following, _pull(path), accept="application/json"))
            found.update(page)
            if len(found) > TAGS_MAX:
                break
        raise self._misbehaved(f"lists more than {TAGS_MAX} tags or {TAG_PAGES_MAX} pages of them for {path}")

    def _served(self, path: str, reference: str | Digest) -> tuple[Manifest, Answer]:
        wanted = tag_or_digest(reference)
        ask = Ask("GET", f"/v2/{checked_path(path)}/manifests/{wanted}", _pull(path), accept=", ".join(MANIFEST_TYPES))
        answer = self._exchange.retrying(lambda: self._exchange.whole(ask, MANIFEST_BYTES_MAX))
        media_type = answer.headers.get("content-type", "").split(";")[0].strip().lower()
        refuse_schema1(media_type, answer.body, f"{self.host}/{path}")
        return Manifest(media_type=media_type, digest=self._verified(answer, wanted), content=answer.body), answer

    def _put_manifest(self, path: str, content: bytes, media_type: str, target: str, conditions: Mapping[str, str] = NO_CONDITIONS) -> Answer:
        expected = _CREATED | {PRECONDITION_FAILED} if conditions else _CREATED
        address = f"/v2/{checked_path(path)}/manifests/{target}"
        ask = Ask("PUT", address, _push(path), content=content, content_type=media_type, expected=expected, conditions=conditions)
        answer = self._exchange.retrying(lambda: self._exchange.whole(ask, SMALL_ANSWER_BYTES_MAX))
        if answer.status in _CREATED and (claimed := answer.headers.get("docker-content-digest")):
            require_digest(Digest.of(content), self._claimed(claimed), f"The registry {self.host}, asked to store a manifest,")
        return answer

    def _upload(self, path: str, digest: Digest, content: bytes | BinaryIO, size: int) -> None:
        """Open an upload and finish it in one request. A failed upload is begun anew: its session may be gone."""

        def attempt() -> None:
            opened = self._exchange.whole(
                Ask("POST", f"/v2/{checked_path(path)}/blobs/uploads/", _push(path), content=b"", expected=frozenset({202})), SMALL_ANSWER_BYTES_MAX
            )
            location = httpx.URL(self._exchange.same_origin(opened.headers.get("location", "")))
            put = Ask("PUT", str(location.copy_merge_params({"digest": digest})), _push(path), content=content, content_bytes=size, expected=_CREATED)
            self._exchange.whole(put, SMALL_ANSWER_BYTES_MAX)

        self._exchange.retrying(attempt)

    def _verified(self, answer: Answer, wanted: str | Digest) -> Digest:
        """The digest of what was served; it must be the one that was asked for, and the one that the registry itself claims."""
        found = Digest.of(answer.body)
        if isinstance(wanted, Digest):
            require_digest(wanted, found, f"The registry {self.host}")
        if claimed := answer.headers.get("docker-content-digest"):
            require_digest(self._claimed(claimed), found, f"The registry {self.host}")
        return found

    def _claimed(self, text: str) -> Digest:
        try:
            return Digest(text)
        except InvalidDigest as error:
            raise self._misbehaved(f"identifies content by {text[:20]!r}, and only sha256 is supported") from error

    def _tag_page(self, ask: Ask) -> tuple[list[str], str | None]:
        """One page, and the address of the next."""
        answer = self._exchange.retrying(lambda: self._exchange.whole(ask, TAG_PAGE_BYTES_MAX))
        try:
            return [checked_tag(tag) for tag in json.loads(answer.body)["tags"] or []], next_page(self._exchange, answer)
        except (ValueError, TypeError, KeyError, RecursionError, InvalidReference) as error:
            raise self._misbehaved("answered a tag list that is none") from error

    def _misbehaved(self, what: str) -> RegistryMisbehaved:
        return RegistryMisbehaved(f"The registry {self.host} {what}.", next_step="Check what answers at this address.")


def _blob(path: str, digest: Digest) -> str:
    return f"/v2/{quote(checked_path(path))}/blobs/{Digest(digest)}"


def _pull(path: str) -> str:
    return f"repository:{path}:pull"


def _push(path: str) -> str:
    return f"repository:{path}:pull,push"
