"""The use cases of releases. Registries are asked before a transaction opens; each change and its audit entry are one transaction.

A release that gets its identity is sealed as evidence in the same transaction.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.references import ImageReference
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.streams import RELEASES
from stella_pipelines.integrations.registries.port import OCI_MANIFEST, RegistryPort
from stella_pipelines.releases import rows
from stella_pipelines.releases.comparison import differences
from stella_pipelines.releases.declared import require_declared
from stella_pipelines.releases.errors import ReleaseExists, ReleaseFinalized, ReleaseMissing
from stella_pipelines.releases.lifecycle import require_forward
from stella_pipelines.releases.manifest import ARTIFACT_TYPE, document_digest, release_manifest
from stella_pipelines.releases.model import Release, ReleaseRecord, ReleaseSource, ReleaseState
from stella_pipelines.releases.naming import parse_release_name, require_names
from stella_pipelines.releases.packet import release_predicate, release_subjects
from stella_pipelines.releases.reports import REPORT_MEDIA_TYPE, SecurityReport, detect_kind
from stella_pipelines.releases.resolution import Registries, require_tags_unmoved, resolve_components
from stella_pipelines.releases.trail import Trail, subject_of
from stella_pipelines.releases.transfer import push_release, tag_of
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import Conflict

UNKNOWN_SOURCE: Final = ReleaseSource()
"""Nobody said where the release was built from."""


class Releases:
    """Create, finalize, find and push releases, and give reports to them."""

    def __init__(self, store: Store, evidence: Evidence, clock: Clock, identifiers: Identifiers) -> None:
        self._store = store
        self._evidence = evidence
        self._clock = clock
        self._identifiers = identifiers
        self._trail = Trail(clock, identifiers)

    def create(
        self,
        actor: Actor,
        *,
        name: str,
        version: str,
        images: Mapping[str, ImageReference],
        registries: Registries,
        source: ReleaseSource = UNKNOWN_SOURCE,
        finalize: bool = False,
        declared: Collection[str] | None = None,
    ) -> ReleaseRecord:
        """Pin every image and store the release. The same content again gives the release that is there; other content is refused.

        `declared` are the estate's components; None when there is no estate yet.
        """
        require_names(name, version, images)
        if declared is not None:
            require_declared(images, declared)
        components = resolve_components(images, registries, self._clock)
        wanted = Release(name=name, version=version, components=components, source=source, created_at=self._clock.now())
        with self._store.writing() as tx:
            draft = rows.insert_draft(tx, wanted)
            if draft is not None:
                self._trail.enter(tx, actor, "release.create", subject_of(wanted), after=draft)
            existing = _present(rows.by_name(tx, name, version), f"{name}-{version}")
            _require_same(existing, wanted)
            return self._finalize_in(tx, actor, existing) if finalize else existing

    def finalize(self, actor: Actor, name: str, version: str, registries: Registries | None = None) -> ReleaseRecord:
        """Give a draft its identity. With `registries`, a tag that moved since the draft was created is an error. Finalizing twice is once."""
        record = self.get(name, version)
        if record.state is ReleaseState.DRAFT and registries is not None:
            require_tags_unmoved(record.release, registries)
        with self._store.writing() as tx:
            return self._finalize_in(tx, actor, record)

    def discard(self, actor: Actor, name: str, version: str) -> None:
        """Remove a draft, so that its name and version are free again."""
        with self._store.writing() as tx:
            record = _present(rows.by_name(tx, name, version), f"{name}-{version}")
            if record.state is not ReleaseState.DRAFT:
                raise ReleaseFinalized(
                    f"{record.label} is {record.state.value}, and only a draft can be discarded.",
                    next_step="Finalized releases stay for ever: 'stella release archive' takes one out of use, and new content is another version.",
                )
            gone = rows.delete_draft(tx, name, version)
            if gone is not None:
                self._trail.enter(tx, actor, "release.discard", subject_of(record.release), before=gone)

    def deprecate(self, actor: Actor, digest: Digest, reason: str) -> ReleaseRecord:
        """Advise against a release. What runs goes on running, and it can still be promoted. Twice is once."""
        return self._move(actor, digest, ReleaseState.DEPRECATED, "release.deprecate", reason)

    def archive(self, actor: Actor, digest: Digest, reason: str) -> ReleaseRecord:
        """Take a release out of use: it is never promoted again. What runs goes on running. Twice is once."""
        return self._move(actor, digest, ReleaseState.ARCHIVED, "release.archive", reason)

    def _move(self, actor: Actor, digest: Digest, to: ReleaseState, action: str, reason: str) -> ReleaseRecord:
        with self._store.writing() as tx:
            record = _present(rows.by_digest(tx, digest), digest)
            if record.state is to:
                return record
            require_forward(record, to)
            changed = rows.set_state(tx, digest, record.state, to)
            if changed is None:
                raise Conflict(f"{record.label} was changed by somebody else just now.", next_step="Look at it again with 'stella release show'.")
            self._trail.enter(tx, actor, action, subject_of(record.release), before=changed[0], after=changed[1], reason=reason)
            return record.model_copy(update={"state": to})

    def get(self, name: str, version: str, tx: Transaction | None = None) -> ReleaseRecord:
        """The release with this name and version."""
        with self._reading(tx) as reading:
            return _present(rows.by_name(reading, name, version), f"{name}-{version}")

    def by_digest(self, digest: Digest, tx: Transaction | None = None) -> ReleaseRecord:
        """The release with this identity."""
        with self._reading(tx) as reading:
            return _present(rows.by_digest(reading, digest), digest)

    def find(self, text: str) -> ReleaseRecord:
        """The release that a person named: `name-version`, `name:version`, `sha256:…` or a partition key."""
        asked = parse_release_name(text)
        if isinstance(asked, Digest):
            return self.by_digest(asked)
        record = self.get(asked.name, asked.version)
        if asked.short is not None and (record.digest is None or record.digest.short != asked.short):
            raise ReleaseMissing(
                f"{record.label} is there, but its identity does not begin with {asked.short}.", next_step="Compare with 'stella release show'."
            )
        return record

    def list(self, *, name: str | None = None, limit: int = 100) -> builtins.list[ReleaseRecord]:
        """Newest first."""
        with self._store.reading() as tx:
            return rows.newest(tx, name, limit)

    def page(self, *, name: str | None = None, limit: int = 50, before: str | None = None) -> tuple[builtins.list[ReleaseRecord], int]:
        """Newest first, optionally only those older than the release `before`; and how many older ones follow (`store/pages.py`)."""
        last = None if before is None else self.find(before)
        with self._store.reading() as tx:
            return rows.page(tx, name, limit, last)

    def by_digests(self, digests: Collection[Digest], tx: Transaction | None = None) -> dict[Digest, ReleaseRecord]:
        """The releases that are known among these identities, in one go."""
        with self._reading(tx) as reading:
            return rows.by_digests(reading, digests)

    def newest_identities(self, limit: int) -> builtins.list[Digest]:
        """The identities of the newest releases, without reading what they contain."""
        with self._store.reading() as tx:
            return rows.newest_identities(tx, limit)

    def components_of_names(self) -> dict[str, tuple[str, ...]]:
        """By name of the releases, every component that a finalized one was ever made of."""
        with self._store.reading() as tx:
            return rows.components_of_names(tx)

    def push(self, actor: Actor, digest: Digest, registry: RegistryPort, path: str, host: str) -> str:
        """Put the release manifest into a registry under its version as tag. Returns `host/path@sha256:…`."""
        with self._store.reading() as tx:
            record = _present(rows.by_digest(tx, digest), digest)
            manifest = blobs.get(tx, digest)
            document = blobs.get(tx, document_digest(manifest))
        push_release(registry, path, manifest, document, tag_of(record.release.version))
        location = f"{host}/{path}@{digest}"
        with self._store.writing() as tx:
            pushed = rows.add_push(tx, digest, location, self._clock.now())
            if pushed is not None:
                self._trail.enter(tx, actor, "release.push", subject_of(record.release, "push", location), after=pushed)
        return location

    def attach_report(self, actor: Actor, digest: Digest, content: bytes) -> SecurityReport:
        """Give a report to a finalized release. The same bytes again give the report that is there: giving it twice does not make it newer."""
        kind, now = detect_kind(content), self._clock.now()
        with self._store.writing() as tx:
            record = _present(rows.by_digest(tx, digest), digest)
            blob = blobs.put(tx, content, REPORT_MEDIA_TYPE, now)
            report_id = self._identifiers.new("rpt", now)
            report = SecurityReport(id=report_id, release_digest=digest, kind=kind, blob=blob, given_by=actor.name, given_at=now)
            added = rows.add_report(tx, report)
            if added is not None:
                self._trail.enter(tx, actor, "release.report", subject_of(record.release, "report", report_id), after=added, reason=kind)
                return report
            return next(given for given in rows.reports_of(tx, digest) if given.blob == blob)

    def reports(self, tx: Transaction, digest: Digest) -> builtins.list[SecurityReport]:
        """The reports given to a release, oldest first."""
        return rows.reports_of(tx, digest)

    def _finalize_in(self, tx: Transaction, actor: Actor, record: ReleaseRecord) -> ReleaseRecord:
        """Assign the identity, and keep the very bytes that it is the digest of."""
        if record.digest is not None:
            return record
        release, now = record.release, self._clock.now()
        manifest, document = release_manifest(release)
        digest = Digest.of(manifest)
        changed = rows.set_identity(tx, release, digest, now)
        if changed is not None:
            self._keep(tx, manifest, document, now)
            rows.remember_components(tx, release)
            self._seal(tx, actor, record, manifest, now)
            self._trail.enter(tx, actor, "release.finalize", subject_of(release), before=changed[0], after=changed[1])
        finalized = rows.by_digest(tx, digest)
        if finalized is None:
            raise Conflict(f"The draft {record.label} was replaced while it was being finalized.", next_step="Look at the draft again, then finalize it.")
        return finalized

    def _seal(self, tx: Transaction, actor: Actor, record: ReleaseRecord, manifest: bytes, now: datetime) -> None:
        self._evidence.seal(
            tx,
            packet_id=self._identifiers.new("evd", now),
            kind="release",
            stream=RELEASES,
            subjects=release_subjects(record.label, Digest.of(manifest), record.release),
            predicate=release_predicate(record, manifest, actor, now),
            at=now,
        )

    def _keep(self, tx: Transaction, manifest: bytes, document: bytes, now: datetime) -> None:
        blobs.put(tx, manifest, OCI_MANIFEST, now)
        blobs.put(tx, document, ARTIFACT_TYPE, now)

    @contextmanager
    def _reading(self, tx: Transaction | None) -> Iterator[Transaction]:
        """The caller's transaction, or one of our own."""
        if tx is not None:
            yield tx
            return
        with self._store.reading() as opened:
            yield opened


def _present(record: ReleaseRecord | None, asked: str) -> ReleaseRecord:
    if record is None:
        raise ReleaseMissing(f"There is no release {asked}.", next_step="List the releases that there are with 'stella release list'.")
    return record


def _require_same(existing: ReleaseRecord, wanted: Release) -> None:
    found = differences(existing.release, wanted)
    if found:
        raise ReleaseExists(f"{existing.label} exists with other content: {'; '.join(found)}.", next_step="Give the new content a new version.")
