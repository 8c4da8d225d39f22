"""Releases over a real database and a layout folder: created once, pinned once, immutable once finalized."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.core.references import ImageReference
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.port import ImageNotFound, RegistryPort
from stella_pipelines.integrations.registries.resolve import ReferenceUnpinned
from stella_pipelines.releases.errors import (
    ComponentUndeclared,
    LifecycleRefused,
    ReleaseExists,
    ReleaseFinalized,
    ReleaseInvalid,
    ReleaseMissing,
    ReportInvalid,
    ReportUnknown,
    TagMoved,
    TagTaken,
)
from stella_pipelines.releases.manifest import release_digest
from stella_pipelines.releases.model import ReleaseRecord, ReleaseSource, ReleaseState
from stella_pipelines.releases.service import UNKNOWN_SOURCE, Releases
from stella_pipelines.releases.tables import releases as releases_table
from stella_pipelines.releases.transfer import read_release
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from tests.support.evidence import signing_key
from tests.support.oci import push_image, push_index

HOST = "registry.example"
ALICE, BOB = Actor(name="alice", via="test"), Actor(name="bob", via="test")
REPORT = json.dumps({"SchemaVersion": 2, "ArtifactName": "web", "Results": []}).encode()


class SteppingClock:
    """Every look is a second later."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


@pytest.fixture
def registry(tmp_path: Path) -> RegistryPort:
    return LayoutRegistry(tmp_path / "images")


@pytest.fixture
def releases(store: Store) -> Releases:
    return Releases(store, Evidence(signing_key()), SteppingClock(), SystemIdentifiers())


@pytest.fixture
def create(releases: Releases, registry: RegistryPort) -> Callable[..., ReleaseRecord]:
    """`create("1.0")` makes a release `shop` whose component `web` is the image tagged `stable`."""
    push_image(registry, "shop/web", "stable")

    def make(version: str = "1.0", image: str = f"{HOST}/shop/web:stable", *, finalize: bool = False, source: ReleaseSource = UNKNOWN_SOURCE) -> ReleaseRecord:
        images = {"web": ImageReference.parse(image)}
        return releases.create(ALICE, name="shop", version=version, images=images, registries=lambda _: registry, source=source, finalize=finalize)

    return make


def actions(store: Store) -> list[str]:
    with store.reading() as tx:
        return [entry.action for entry in audit.list_entries(tx) if entry.action.startswith("release.")]


def test_a_tag_is_kept_as_a_note_of_the_digest_that_it_had(create: Callable[..., ReleaseRecord], registry: RegistryPort) -> None:
    (component,) = create().release.components
    assert component.digest == registry.manifest("shop/web", "stable").digest
    assert component.tag == "stable"
    assert component.resolved_at is not None
    assert [image.platform for image in component.platforms] == ["linux/amd64"]


def test_a_digest_needs_no_note_and_wins_over_a_tag_beside_it(create: Callable[..., ReleaseRecord], registry: RegistryPort) -> None:
    digest = registry.manifest("shop/web", "stable").digest
    push_image(registry, "shop/web", "stable", text="moved")
    (component,) = create("1.0", f"{HOST}/shop/web:stable@{digest}").release.components
    assert (component.digest, component.tag, component.resolved_at) == (digest, None, None)


def test_a_release_of_an_index_knows_every_platform(create: Callable[..., ReleaseRecord], registry: RegistryPort) -> None:
    images = {name: push_image(registry, "shop/web", None, text=name, platform=name) for name in ("linux/amd64", "linux/arm64")}
    index = push_index(registry, "shop/web", "multi", images, attested=push_image(registry, "shop/web", None, text="provenance"))
    (component,) = create("1.0", f"{HOST}/shop/web:multi").release.components
    assert component.digest == index
    assert {image.platform: image.digest for image in component.platforms} == images


def test_finalizing_gives_the_identity_that_the_content_says(create: Callable[..., ReleaseRecord], releases: Releases, store: Store) -> None:
    draft = create()
    assert (draft.state, draft.digest) == (ReleaseState.DRAFT, None)
    record = releases.finalize(BOB, "shop", "1.0")
    assert (record.state, record.digest) == (ReleaseState.FINALIZED, release_digest(draft.release))
    assert record.release == draft.release
    assert releases.finalize(BOB, "shop", "1.0") == record
    assert actions(store) == ["release.finalize", "release.create"]


def test_the_same_content_again_is_the_same_release(create: Callable[..., ReleaseRecord], store: Store) -> None:
    first = create()
    assert create() == first
    finalized = create(finalize=True)
    assert finalized.release == first.release
    assert create() == create(finalize=True) == finalized
    assert actions(store) == ["release.finalize", "release.create"]


def test_other_content_under_a_taken_version_is_refused(create: Callable[..., ReleaseRecord], releases: Releases, registry: RegistryPort) -> None:
    existing = create(finalize=True)
    digest = push_image(registry, "shop/web", "stable", text="moved")
    with pytest.raises(ReleaseExists, match=digest):
        create()
    with pytest.raises(ReleaseExists, match="source"):
        create("1.0", f"{HOST}/shop/web@{existing.release.components[0].digest}", source=ReleaseSource(commit="abc"))
    assert releases.get("shop", "1.0") == existing


def test_a_tag_that_moved_stops_the_draft_and_names_both_digests(create: Callable[..., ReleaseRecord], releases: Releases, registry: RegistryPort) -> None:
    draft = create()
    moved = push_image(registry, "shop/web", "stable", text="moved")
    with pytest.raises(TagMoved) as stopped:
        releases.finalize(BOB, "shop", "1.0", registries=lambda _: registry)
    assert draft.release.components[0].digest in str(stopped.value)
    assert moved in str(stopped.value)
    assert releases.get("shop", "1.0") == draft


def test_a_finalized_release_is_not_touched_by_moving_tags(create: Callable[..., ReleaseRecord], releases: Releases, registry: RegistryPort) -> None:
    record = create(finalize=True)
    push_image(registry, "shop/web", "stable", text="moved")
    assert releases.finalize(BOB, "shop", "1.0", registries=lambda _: registry) == record
    assert releases.by_digest(_identity(record)) == record


def test_a_draft_is_discarded_and_a_finalized_release_never(create: Callable[..., ReleaseRecord], releases: Releases, store: Store) -> None:
    create()
    releases.discard(ALICE, "shop", "1.0")
    with pytest.raises(ReleaseMissing):
        releases.get("shop", "1.0")
    create(finalize=True)
    with pytest.raises(ReleaseFinalized):
        releases.discard(ALICE, "shop", "1.0")
    assert "release.discard" in actions(store)


@pytest.mark.parametrize(
    "change", [sa.update(releases_table).values(document="{}"), sa.update(releases_table).values(digest=None, state="draft"), sa.delete(releases_table)]
)
def test_the_database_itself_refuses_to_change_a_finalized_release(
    create: Callable[..., ReleaseRecord], releases: Releases, store: Store, change: sa.Executable
) -> None:
    record = create(finalize=True)
    with pytest.raises(sa.exc.DBAPIError, match="finalized release"), store.writing() as tx:
        tx.connection.execute(change)
    assert releases.get("shop", "1.0") == record


@pytest.mark.parametrize(
    ("version", "image", "error"),
    [
        ("1.0", f"{HOST}/shop/web:absent", ImageNotFound),
        ("1.0", f"{HOST}/shop/web@{Digest.of(b'absent')}", ImageNotFound),
        ("1.0", f"{HOST}/shop/web", ReferenceUnpinned),
        ("1 0", f"{HOST}/shop/web:stable", ReleaseInvalid),
        ("", f"{HOST}/shop/web:stable", ReleaseInvalid),
    ],
)
def test_bad_input_makes_no_release(
    create: Callable[..., ReleaseRecord], releases: Releases, store: Store, version: str, image: str, error: type[StellaError]
) -> None:
    with pytest.raises(error):
        create(version, image)
    assert releases.list() == []
    assert actions(store) == []


def test_a_release_of_nothing_is_refused_before_any_registry_is_asked(releases: Releases) -> None:
    with pytest.raises(ReleaseInvalid):
        releases.create(ALICE, name="shop", version="1.0", images={}, registries=lambda host: pytest.fail(f"asked {host}"))
    for name, component in (("Shop", "web"), ("shop", "Web")):
        images = {component: ImageReference.parse(f"{HOST}/shop/web:1")}
        with pytest.raises(ReleaseInvalid):
            releases.create(ALICE, name=name, version="1.0", images=images, registries=lambda host: pytest.fail(f"asked {host}"))


def test_a_release_is_found_by_every_name(create: Callable[..., ReleaseRecord], releases: Releases) -> None:
    record = create(finalize=True)
    for text in ("shop-1.0", "shop:1.0", _identity(record), record.partition_key):
        assert releases.find(text) == record
    for text in ("shop-1.1", "other-1.0", Digest.of(b"other"), "shop-1.0@" + "0" * 12, "nonsense"):
        with pytest.raises(ReleaseMissing):
            releases.find(text)


def test_releases_are_listed_newest_first(create: Callable[..., ReleaseRecord], releases: Releases) -> None:
    for version in ("1.0", "1.1", "1.2"):
        create(version)
    assert [record.release.version for record in releases.list()] == ["1.2", "1.1", "1.0"]
    assert [record.release.version for record in releases.list(name="shop", limit=1)] == ["1.2"]
    assert releases.list(name="other") == []


def test_a_pushed_release_is_read_back_from_the_registry(create: Callable[..., ReleaseRecord], releases: Releases, registry: RegistryPort) -> None:
    record = create("1.0+build.7", finalize=True)
    digest = _identity(record)
    pushed = releases.push(BOB, digest, registry, "releases/shop", HOST)
    assert pushed == f"{HOST}/releases/shop@{digest}" == releases.push(BOB, digest, registry, "releases/shop", HOST)
    assert read_release(registry, "releases/shop", digest) == record.release
    assert registry.tags("releases/shop") == ["1.0_build.7"]
    assert releases.by_digest(digest).pushed_to == (pushed,)


def test_a_push_never_moves_a_tag_away_from_something_else(create: Callable[..., ReleaseRecord], releases: Releases, registry: RegistryPort) -> None:
    record = create("stable", finalize=True)
    with pytest.raises(TagTaken):
        releases.push(BOB, _identity(record), registry, "shop/web", HOST)
    assert releases.by_digest(_identity(record)).pushed_to == ()


def test_a_report_is_stored_with_its_bytes_kind_and_giver(create: Callable[..., ReleaseRecord], releases: Releases, store: Store) -> None:
    digest = _identity(create(finalize=True))
    given = releases.attach_report(BOB, digest, REPORT)
    assert (given.kind, given.given_by, given.blob) == ("trivy", "bob", Digest.of(REPORT))
    vex = releases.attach_report(ALICE, digest, b'{"bomFormat": "CycloneDX", "vulnerabilities": []}')
    with store.reading() as tx:
        assert releases.reports(tx, digest) == [given, vex]
        assert blobs.get(tx, given.blob) == REPORT


def test_the_same_report_again_is_not_newer(create: Callable[..., ReleaseRecord], releases: Releases, store: Store) -> None:
    digest = _identity(create(finalize=True))
    given = releases.attach_report(BOB, digest, REPORT)
    assert releases.attach_report(ALICE, digest, REPORT) == given
    assert actions(store).count("release.report") == 1


def test_a_report_for_a_draft_or_an_unknown_release_is_refused(create: Callable[..., ReleaseRecord], releases: Releases, store: Store) -> None:
    draft = create()
    for digest in (release_digest(draft.release), Digest.of(b"unknown")):
        with pytest.raises(ReleaseMissing):
            releases.attach_report(BOB, digest, REPORT)
    with store.reading() as tx:
        assert not blobs.exists(tx, Digest.of(REPORT))


@pytest.mark.parametrize(("content", "error"), [(b"not json", ReportInvalid), (b"{}", ReportUnknown)])
def test_a_report_that_is_none_is_refused(
    create: Callable[..., ReleaseRecord], releases: Releases, store: Store, content: bytes, error: type[StellaError]
) -> None:
    digest = _identity(create(finalize=True))
    with pytest.raises(error):
        releases.attach_report(BOB, digest, content)
    with store.reading() as tx:
        assert releases.reports(tx, digest) == []


def test_two_who_create_the_same_release_at_once_get_one(create: Callable[..., ReleaseRecord], store: Store) -> None:
    made: list[ReleaseRecord] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait(timeout=10)
        made.append(create(finalize=True))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(made) == 4
    assert len({record.digest for record in made}) == 1
    assert sorted(actions(store)) == ["release.create", "release.finalize"]


def _identity(record: ReleaseRecord) -> Digest:
    assert record.digest is not None
    return record.digest


def test_a_release_is_deprecated_and_archived_once_with_its_reasons(create: Callable[..., ReleaseRecord], releases: Releases, store: Store) -> None:
    digest = create(finalize=True).digest
    assert digest is not None
    assert releases.deprecate(BOB, digest, "leaks memory").state is ReleaseState.DEPRECATED
    assert releases.deprecate(BOB, digest, "said twice").state is ReleaseState.DEPRECATED
    assert releases.archive(BOB, digest, "nobody runs it").state is ReleaseState.ARCHIVED
    assert releases.by_digest(digest).state is ReleaseState.ARCHIVED
    with pytest.raises(LifecycleRefused):
        releases.deprecate(BOB, digest, "too late")
    with store.reading() as tx:
        entries = audit.list_entries(tx)
    assert [(entry.action, entry.reason) for entry in entries][:2] == [("release.archive", "nobody runs it"), ("release.deprecate", "leaks memory")]


def test_only_declared_components_are_released_where_an_estate_is(releases: Releases, registry: RegistryPort) -> None:
    images = {"wbe": ImageReference.parse(f"{HOST}/shop/web:stable")}
    push_image(registry, "shop/web", "stable")
    with pytest.raises(ComponentUndeclared, match="Did you mean 'web'"):
        releases.create(ALICE, name="shop", version="1.0", images=images, registries=lambda _: registry, declared=["web"])
    assert releases.create(ALICE, name="shop", version="1.0", images=images, registries=lambda _: registry).label == "shop-1.0"
