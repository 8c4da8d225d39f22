"""The two forms in which a packet stands in a registry: its DSSE envelope as it was sealed, and a Sigstore bundle around it, which cosign reads. Pure.

A bundle is read back only in the exact bytes that writing makes, like the envelope itself; so one packet has one artifact of each form, and a
bundle of somebody else's making is refused and not interpreted.
"""

from __future__ import annotations

from typing import Any, Final

from stella_pipelines.core.canonical import NotCanonical, canonical_json, parse_canonical
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import PACKET_BYTES_MAX
from stella_pipelines.evidence.bundle import BUNDLE_MEDIA_TYPE, write_bundle
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.errors import PacketMalformed, PacketTooLarge
from stella_pipelines.evidence.verify import VerifiedPacket
from stella_pipelines.integrations.registries.artifact import Layer

ENVELOPE_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
BUNDLE_TYPE: Final = BUNDLE_MEDIA_TYPE
PACKET_TYPES: Final = (BUNDLE_TYPE, ENVELOPE_TYPE)
"""Artifact types that may hold a packet. Others that are attached (an SBOM, a scan) are not ours to read."""
ATTACHED_BYTES_MAX: Final = PACKET_BYTES_MAX + 1024
"""The largest packet, and what a bundle writes around it."""


def envelope_layer(envelope: bytes, packet: VerifiedPacket) -> Layer:
    """The packet as it was sealed, byte for byte."""
    return Layer(media_type=ENVELOPE_TYPE, content=envelope, title=f"{packet.seal.packet_id}.dsse.json")


def bundle_layer(envelope: bytes, packet: VerifiedPacket) -> Layer:
    """The packet as a bundle. One with several signatures stays an envelope: a bundle has room for one, and the others must not be lost."""
    if len(read_envelope(envelope).signatures) != 1:
        return envelope_layer(envelope, packet)
    bundle = write_bundle(envelope, packet.key_id)
    return Layer(media_type=BUNDLE_TYPE, content=bundle, title=f"sha256-{Digest.of(bundle).hex}.sigstore.json")


def envelope_of(media_type: str, content: bytes) -> bytes:
    """The packet's envelope in a layer of one of the two forms. Nothing is verified yet."""
    if len(content) > ATTACHED_BYTES_MAX:
        raise PacketTooLarge(f"The attached packet has {len(content)} bytes; at most {ATTACHED_BYTES_MAX} are read.")
    return content if media_type == ENVELOPE_TYPE else _unbundled(content)


def _unbundled(content: bytes) -> bytes:
    try:
        bundle: Any = parse_canonical(content)
        key_id = str(bundle["verificationMaterial"]["publicKey"]["hint"])
        signed = bundle["dsseEnvelope"]
        (signature,) = signed["signatures"]
        parts = {"payload": signed["payload"], "payloadType": signed["payloadType"]}
        envelope = canonical_json({**parts, "signatures": [{"keyid": key_id, "sig": signature["sig"]}]})
    except (NotCanonical, KeyError, TypeError, ValueError, IndexError) as error:
        raise _no_bundle() from error
    if write_bundle(envelope, key_id) != content:
        raise _no_bundle()
    return envelope


def _no_bundle() -> PacketMalformed:
    return PacketMalformed("The attached content is not a packet as a Sigstore bundle in the form in which packets are written.")
