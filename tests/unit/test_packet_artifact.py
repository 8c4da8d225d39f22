"""A packet as an artifact: what its manifest says, that it stands beside its own subject only, and that both forms give back its very bytes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.errors import PacketMalformed, PacketRefused, PacketTooLarge
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.integrations.registries.port import OCI_MANIFEST, Manifest
from stella_pipelines.releases.errors import PacketNotAboutSubject
from stella_pipelines.releases.packet_artifact import packet_manifest, require_about
from stella_pipelines.releases.packet_forms import ATTACHED_BYTES_MAX, BUNDLE_TYPE, ENVELOPE_TYPE, bundle_layer, envelope_layer, envelope_of
from tests.support.evidence import RELEASE, SEAL, genuine_packet, signing_key

PACKET = genuine_packet()
VERIFIED = verify_packet(PACKET, [signing_key().public_pem])
SUBJECT = Manifest(media_type=OCI_MANIFEST, digest=RELEASE.digest, content=b"release")
BUNDLE = bundle_layer(PACKET, VERIFIED)
ANNOTATIONS = {
    "org.opencontainers.image.created": "2026-01-31T09:00:00.000000Z",
    "in-toto.io/predicate-type": "https://stella-pipelines.dev/predicates/decision/v1",
    "dev.stella-pipelines.packet": SEAL.packet_id,
    "dev.stella-pipelines.kind": "decision",
}


def test_an_envelope_is_attached_as_it_was_sealed() -> None:
    layer = envelope_layer(PACKET, VERIFIED)
    assert (layer.content, layer.media_type, layer.title) == (PACKET, ENVELOPE_TYPE, f"{SEAL.packet_id}.dsse.json")
    document = json.loads(packet_manifest(layer, VERIFIED, SUBJECT))
    assert document["artifactType"] == document["layers"][0]["mediaType"] == ENVELOPE_TYPE
    assert document["annotations"] == ANNOTATIONS
    assert document["subject"]["digest"] == RELEASE.digest


def test_a_bundle_says_what_cosigns_specification_wants() -> None:
    document = json.loads(packet_manifest(BUNDLE, VERIFIED, SUBJECT))
    assert document["artifactType"] == document["layers"][0]["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json" == BUNDLE_TYPE
    bundle_says = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": ANNOTATIONS["in-toto.io/predicate-type"]}
    assert document["annotations"] == ANNOTATIONS | bundle_says
    assert document["layers"][0]["annotations"]["org.opencontainers.image.title"] == f"sha256-{Digest.of(BUNDLE.content).hex}.sigstore.json"


def test_the_same_packet_twice_is_the_same_manifest() -> None:
    for layer in (BUNDLE, envelope_layer(PACKET, VERIFIED)):
        assert packet_manifest(layer, VERIFIED, SUBJECT) == packet_manifest(layer, VERIFIED, SUBJECT)


def test_a_packet_is_not_attached_to_what_it_does_not_name() -> None:
    other = Manifest(media_type=OCI_MANIFEST, digest=Digest.of(b"another"), content=b"another")
    with pytest.raises(PacketNotAboutSubject, match=r"is about shop-1\.0\.0, and not about"):
        packet_manifest(BUNDLE, VERIFIED, other)
    with pytest.raises(PacketNotAboutSubject):
        require_about(VERIFIED, other.digest)


@pytest.mark.parametrize("layer", [BUNDLE, envelope_layer(PACKET, VERIFIED)], ids=["bundle", "envelope"])
def test_either_form_gives_back_the_sealed_bytes(layer: Any) -> None:
    assert envelope_of(layer.media_type, layer.content) == PACKET


def test_a_packet_with_two_signatures_stays_an_envelope() -> None:
    """A bundle has room for one, and leaving the other out would make another packet of it."""
    document = json.loads(PACKET)
    second = signing_key(2)
    document["signatures"].append({"keyid": second.key_id, "sig": base64.b64encode(second.sign(read_envelope(PACKET).pae())).decode()})
    document["signatures"].sort(key=lambda signature: signature["keyid"])
    both = canonical_json(document)
    verified = verify_packet(both, [signing_key().public_pem, second.public_pem])
    assert bundle_layer(both, verified) == envelope_layer(both, verified)


def changed(**parts: Any) -> bytes:
    return canonical_json({**json.loads(BUNDLE.content), **parts})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        BUNDLE.content[:-1],
        BUNDLE.content + b" ",
        BUNDLE.content.replace(b'"payloadType"', b'"payloadTypo"'),
        changed(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        changed(extra=1),
        changed(verificationMaterial={}),
        changed(verificationMaterial={"publicKey": {"hint": 7}, "tlogEntries": []}),
        changed(verificationMaterial={"publicKey": {"hint": "0" * 63}, "tlogEntries": []}),
        changed(verificationMaterial={"publicKey": {"hint": "0" * 64}, "tlogEntries": [{}]}),
        changed(dsseEnvelope=None),
        changed(dsseEnvelope={"payload": "eA==", "payloadType": "application/vnd.in-toto+json", "signatures": []}),
        changed(dsseEnvelope={"payload": "eA==", "payloadType": "text/plain", "signatures": [{"sig": "eA=="}]}),
        PACKET,
    ],
)
def test_a_bundle_in_any_other_bytes_is_refused(content: bytes) -> None:
    with pytest.raises(PacketRefused):
        envelope_of(BUNDLE_TYPE, content)


def test_a_bundle_by_another_key_gives_an_envelope_that_does_not_verify() -> None:
    """The hint is signed by nobody. Who changes it names another key, and then the packet is refused for that."""
    content = changed(verificationMaterial={"publicKey": {"hint": signing_key(2).key_id}, "tlogEntries": []})
    with pytest.raises(PacketRefused):
        verify_packet(envelope_of(BUNDLE_TYPE, content), [signing_key().public_pem, signing_key(2).public_pem])


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(PacketTooLarge):
        envelope_of(BUNDLE_TYPE, b"0" * (ATTACHED_BYTES_MAX + 1))


def test_an_envelope_in_another_form_is_refused_by_its_verifier() -> None:
    with pytest.raises(PacketMalformed):
        verify_packet(envelope_of(ENVELOPE_TYPE, BUNDLE.content), [signing_key().public_pem])
