"""Releases, packets and artifacts for tests of what is attached in a registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import SystemClock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import SystemIdentifiers, identifier
from stella_pipelines.core.references import ImageReference
from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.statement import Subject, make_statement
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.integrations.registries.artifact import EMPTY_CONFIG, Layer, artifact_manifest, referrer_of
from stella_pipelines.integrations.registries.port import OCI_MANIFEST, Manifest, Referrer, RegistryPort
from stella_pipelines.integrations.registries.referring import Patience
from stella_pipelines.releases.attaching import Attaching, Place
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.releases.packet_forms import ENVELOPE_TYPE
from stella_pipelines.releases.service import Releases
from stella_pipelines.store.database import Store
from tests.support.evidence import NOW, PREDICATE, SEAL, signing_key
from tests.support.oci import push_image

ALICE = Actor(name="alice", via="test")
EVIDENCE = Evidence(signing_key())
KEYS = [signing_key().public_pem]
SBOM = "application/spdx+json"


def quickly(sleep: Callable[[float], None] = lambda seconds: None) -> Patience:
    """Patience that does not wait."""
    return Patience(sleep=sleep, jitter=lambda: 0.0)


def pushed_release(store: Store, registry: RegistryPort, host: str, version: str = "1.0") -> ReleaseRecord:
    """A finalized release of one image, pushed to a repository of its own."""
    push_image(registry, "shop/web", version, text=version)
    releases = Releases(store, EVIDENCE, SystemClock(), SystemIdentifiers())
    images = {"web": ImageReference.parse(f"{host}/shop/web:{version}")}
    record = releases.create(ALICE, name="shop", version=version, images=images, registries=lambda _: registry, finalize=True)
    place = place_of(record, host)
    releases.push(ALICE, place.digest, registry, place.path, host)
    return record


def place_of(record: ReleaseRecord, host: str) -> Place:
    """Where `pushed_release` put it."""
    assert record.digest is not None
    return Place(label=f"release/{record.label}", host=host, path=f"releases/{record.digest.short}", digest=record.digest)


def packet_id(number: int) -> str:
    """The id of a test's packet."""
    return identifier("evd", NOW, number.to_bytes(10, "big"))


def seal_about(store: Store, digest: Digest, number: int = 1, name: str = "shop-1.0", environment: str = "prod") -> SealedPacket:
    """A stored packet about one digest."""
    with store.writing() as tx:
        return EVIDENCE.seal(
            tx,
            packet_id=packet_id(number),
            kind="decision",
            stream=environment_stream(environment),
            subjects=[Subject(name=name, digest=digest)],
            predicate=PREDICATE,
            at=NOW + timedelta(seconds=number),
        )


def envelope_about(digest: Digest, seed: int = 1) -> bytes:
    """A packet about one digest that nobody stored."""
    return write_envelope(make_statement("decision", [Subject(name="shop-1.0", digest=digest)], PREDICATE, SEAL).canonical(), signing_key(seed))


def attaching(store: Store, patience: Patience | None = None, *, as_bundles: bool = True) -> Attaching:
    """The service on a store."""
    return Attaching(store, EVIDENCE, SystemClock(), SystemIdentifiers(), patience=patience or quickly(), as_bundles=as_bundles)


def push_artifact_about(registry: RegistryPort, path: str, subject: Manifest, content: bytes, media_type: str = ENVELOPE_TYPE) -> Referrer:
    """Store an artifact as anybody could, and say how it would be listed. It is listed only by a registry that does so itself."""
    manifest = artifact_manifest(Layer(media_type=media_type, content=content, title="some.json"), subject, {"org.example.note": "by hand"})
    for blob in (EMPTY_CONFIG, content):
        registry.push_blob(path, blob)
    registry.push_referrer(path, manifest, OCI_MANIFEST, subject.digest)
    return referrer_of(manifest)
