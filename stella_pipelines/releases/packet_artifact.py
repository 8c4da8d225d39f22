"""A sealed packet as an OCI artifact: what its manifest says about it, and that it stands only beside what it is about. Pure.

The annotations are copies for people and for lists; nobody who reads them here believes them, because the packet behind them is verified.
"""

from __future__ import annotations

from typing import Final

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.verify import VerifiedPacket
from stella_pipelines.integrations.registries.artifact import Layer, artifact_manifest
from stella_pipelines.integrations.registries.port import Manifest
from stella_pipelines.releases.errors import PacketNotAboutSubject
from stella_pipelines.releases.packet_forms import BUNDLE_TYPE

CREATED: Final = "org.opencontainers.image.created"
PREDICATE_TYPE: Final = "in-toto.io/predicate-type"
BUNDLE_PREDICATE_TYPE: Final = "dev.sigstore.bundle.predicateType"
BUNDLE_CONTENT: Final = "dev.sigstore.bundle.content"
PACKET_ID: Final = "dev.stella-pipelines.packet"
KIND: Final = "dev.stella-pipelines.kind"
_SUBJECTS_NAMED: Final = 5


def packet_manifest(layer: Layer, packet: VerifiedPacket, subject: Manifest) -> bytes:
    """The manifest that attaches a packet to what it is about. The time in it is the seal's, so the same packet gives the same manifest."""
    require_about(packet, subject.digest)
    annotations = {
        CREATED: format_instant(packet.seal.sealed_at),
        PREDICATE_TYPE: packet.statement.predicate_type,
        PACKET_ID: packet.seal.packet_id,
        KIND: packet.kind,
    }
    if layer.media_type == BUNDLE_TYPE:
        annotations |= {BUNDLE_CONTENT: "dsse-envelope", BUNDLE_PREDICATE_TYPE: packet.statement.predicate_type}
    return artifact_manifest(layer, subject, annotations)


def require_about(packet: VerifiedPacket, subject: Digest) -> None:
    """Nothing, when the packet is about `subject`. A genuine packet in the wrong place would tell a false story about a release."""
    if all(one.digest != subject for one in packet.statement.subject):
        named = ", ".join(one.name for one in packet.statement.subject[:_SUBJECTS_NAMED])
        raise PacketNotAboutSubject(
            f"The packet {packet.seal.packet_id} is about {named}, and not about {subject}.",
            next_step="Attach a packet only to what it names; if it stands there already, find out who put it there.",
        )
