"""What the catalogue says of a packet: its verdict, its place in the log, and links to what it rests on. And the packet of a release."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from assets.events import NOT_YET, packet_event
from assets.keys import evidence_key, release_key
from assets.lineage import of_packet
from assets.log_place import LogPlace, log_place
from assets.publishing import publish_packets, publish_releases
from assets.release_proofs import release_proofs
from assets.verdicts import verdict_in
from stella_pipelines.evidence.errors import SignatureInvalid
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Kind, Statement, Subject
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.releases.model import ReleaseRecord
from tests.support.installation import NESTED_RESOURCES, SmallInstallation, add_release
from tests.support.told_packets import drift, packet

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)


@pytest.fixture
def release(stella: SmallInstallation) -> ReleaseRecord:
    return add_release(stella.plane)


def sealed(stella: SmallInstallation, record: ReleaseRecord, kind: Kind = "drift", predicate: dict[str, Any] | None = None) -> SealedPacket:
    """A packet about production that no run has reported."""
    plane = stella.plane
    at = plane.clock.now() - timedelta(minutes=5)
    assert record.digest is not None
    with plane.store.writing() as tx:
        return plane.evidence.seal(
            tx,
            packet_id=plane.identifiers.new("evd", at),
            kind=kind,
            stream=environment_stream("prod"),
            subjects=[Subject(name=f"release/{record.label}", digest=record.digest)],
            predicate={"inputs": [], "drift": {"state": "found"}} if predicate is None else predicate,
            at=at,
        )


def statement_of(stella: SmallInstallation, packet: SealedPacket) -> Statement:
    return verify_packet(packet.envelope, [stella.plane.evidence.public_pem]).statement


def newest(stella: SmallInstallation, key: dg.AssetKey) -> dict[str, Any]:
    """The metadata of the newest event about an asset."""
    event = stella.instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_a_packet_in_the_log_says_its_leaf_and_its_checkpoint(stella: SmallInstallation, release: ReleaseRecord) -> None:
    found = sealed(stella, release)
    stella.plane.log.take_in()
    with stella.plane.log.reading() as (tx, head):
        place = log_place(tx, found.id)
    assert place is not None
    assert 0 <= place.index < place.checkpoint_size <= head.size
    publish_packets(stella.plane, stella.instance, lambda one: statement_of(stella, one), {})
    shown = newest(stella, evidence_key("prod"))
    assert (shown["log index"], shown["log checkpoint"]) == (place.index, place.checkpoint_size)
    assert (shown["verdict"], shown["kind"], shown["packet digest"]) == ("found", "drift", found.digest)
    assert shown["signed by key"] == found.key_id


def test_a_packet_that_the_log_does_not_have_yet_says_so(stella: SmallInstallation, release: ReleaseRecord) -> None:
    found = sealed(stella, release)
    with stella.plane.store.reading() as tx:
        assert log_place(tx, found.id) is None
    event = packet_event("prod", found, release.partition_key, ())
    assert event.metadata["log index"].value == event.metadata["log checkpoint"].value == NOT_YET


def test_a_packet_leads_to_its_deployment_its_release_and_its_images(stella: SmallInstallation, release: ReleaseRecord) -> None:
    found = sealed(stella, release)
    with stella.plane.store.reading() as tx:
        upstream = of_packet(stella.plane, tx, "prod", release, "dep_1")
    assert [(entry.asset, entry.deployment) for entry in upstream] == [
        ("environments/prod", "dep_1"),
        ("releases/shop", None),
        ("environments/dev", None),
        ("images/web", None),
    ]
    assert upstream[-1].digest == release.release.components[0].digest
    place = LogPlace(index=3, checkpoint_size=5)
    metadata = packet_event("prod", found, release.partition_key, upstream, place=place).metadata
    links = {name: value.asset_key for name, value in metadata.items() if isinstance(value, dg.DagsterAssetMetadataValue)}
    assert links == {f"upstream {'/'.join(key.path)}": key for key in links.values()}
    assert set(links) == {"upstream environments/prod", "upstream releases/shop", "upstream environments/dev", "upstream images/web"}
    known: Sequence[dg.AssetKey] = list(stella.repository().asset_graph.get_all_asset_keys())
    assert set(links.values()) <= set(known)


def test_the_packet_of_a_release_stands_with_the_release(stella: SmallInstallation, release: ReleaseRecord) -> None:
    assert "Reported shop-1.0.0" in (stella.tick("releases").skip_message or "")
    shown = newest(stella, release_key("shop"))
    with stella.plane.store.reading() as tx:
        (packet,) = stella.plane.evidence.list(tx, kind="release")
        place = log_place(tx, packet.id)
    assert place is not None
    assert (shown["packet"], shown["packet digest"], shown["digest"]) == (packet.id, packet.digest, release.digest)
    assert (shown["log index"], shown["log checkpoint"]) == (place.index, place.checkpoint_size)
    assert shown["upstream images/web"] == dg.AssetKey(["images", "web"])


def test_a_release_whose_packet_cannot_be_trusted_is_shown_without_it(stella: SmallInstallation, release: ReleaseRecord) -> None:
    def refuse(packet: SealedPacket) -> None:
        raise SignatureInvalid("The signature does not fit.")

    publish_releases(stella.instance, [release], release_proofs(stella.plane, refuse))
    shown = newest(stella, release_key("shop"))
    assert "EVID_SIGNATURE_INVALID" in shown["packet"]
    assert "packet digest" not in shown
    assert shown["digest"] == release.digest


@pytest.mark.parametrize(
    ("kind", "predicate", "word"),
    [
        ("decision", {"decision": {"outcome": "deny"}}, "deny"),
        ("rollback", {"deployment": {"state": "rolled_back"}}, "rolled_back"),
        ("override", {"override": {"verdict": "wait"}}, "wait"),
        ("deployment", {"deployment": []}, None),
        ("decision", {"decision": {"outcome": 3}}, None),
        ("purge", {"purge": {"state": "done"}}, None),
    ],
)
def test_the_word_for_how_it_ended(kind: Kind, predicate: dict[str, Any], word: str | None) -> None:
    assert verdict_in(packet(kind, "environment/prod", 1, predicate).statement) == word
    assert verdict_in(drift(1, "v1", {}).statement) == "over"
