"""Reading back what is attached to a release: which artifacts a registry lists, and each packet behind them, verified before anything believes it.

A registry is not trusted. What it lists is fetched by digest and bounded, must be an artifact about the very subject that was asked for, and must
hold a packet with a valid signature that names this subject.
"""

from __future__ import annotations

from collections.abc import Sequence

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.integrations.registries.artifact import Artifact, invalid, read_artifact
from stella_pipelines.integrations.registries.port import Referrer, RegistryPort
from stella_pipelines.releases.packet_artifact import require_about
from stella_pipelines.releases.packet_forms import ATTACHED_BYTES_MAX, PACKET_TYPES, envelope_of


class PulledPacket(Value):
    """A packet out of a registry whose every byte was checked. `layer` is what was attached, `envelope` the packet in it."""

    artifact: Digest
    media_type: str
    layer: bytes
    envelope: bytes
    packet: VerifiedPacket


def is_packet(referrer: Referrer) -> bool:
    """Whether the list says that this is a packet; whether it is one, `pull_packet` says."""
    return referrer.artifact_type in PACKET_TYPES


def pull_packet(registry: RegistryPort, path: str, subject: Digest, listed: Referrer, keys: KeyRing | Sequence[bytes]) -> PulledPacket:
    """The packet behind an entry of the list; otherwise one error that says what is wrong with it."""
    artifact = read_artifact(registry.manifest(path, listed.digest), listed, subject)
    content = _layer(registry, path, listed, artifact)
    envelope = envelope_of(artifact.artifact_type, content)
    packet = verify_packet(envelope, keys)
    require_about(packet, subject)
    return PulledPacket(artifact=listed.digest, media_type=artifact.artifact_type, layer=content, envelope=envelope, packet=packet)


def pull_or_refusal(registry: RegistryPort, path: str, subject: Digest, listed: Referrer, keys: KeyRing | Sequence[bytes]) -> PulledPacket | StellaError:
    """For a list, where one bad entry must not hide the others. What may pass by itself (no connection) still ends it: that says nothing of the entry."""
    try:
        return pull_packet(registry, path, subject, listed, keys)
    except StellaError as refusal:
        if refusal.retryable:
            raise
        return refusal


def _layer(registry: RegistryPort, path: str, listed: Referrer, artifact: Artifact) -> bytes:
    size = artifact.layer.size
    if artifact.artifact_type not in PACKET_TYPES:
        raise invalid(listed.digest, f"is of the type {artifact.artifact_type[:100]!r}, in which no packet is read here")
    if size > ATTACHED_BYTES_MAX:
        raise invalid(listed.digest, f"promises {size} bytes, and a packet has at most {ATTACHED_BYTES_MAX}")
    content = registry.blob(path, artifact.layer.digest, size)
    if len(content) != size:
        raise invalid(listed.digest, f"promises {size} bytes, and its layer has {len(content)}")
    return content
