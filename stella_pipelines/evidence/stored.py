"""Reading a stored packet as one who does not trust the database: the signature, and that the rows say what was sealed.

The envelope is what counts. Columns and subject rows are copies of it for searching; whoever can write to the database could change a copy,
or put a genuine envelope under another packet's id, and the signature alone would not show it.
"""

from __future__ import annotations

from collections.abc import Sequence

from stella_pipelines.evidence.errors import StoredPacketDiffers
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.store.database import Transaction


def read_verified(evidence: Evidence, tx: Transaction, packet_id: str) -> tuple[SealedPacket, VerifiedPacket]:
    """A packet with this installation's valid signature, whose rows agree with it. `StoredPacketDiffers` when they do not."""
    packet = evidence.get(tx, packet_id)
    verified = verify_packet(packet.envelope, [evidence.public_pem])
    differing = differences(packet, evidence.subjects(tx, packet_id), verified)
    if differing:
        raise StoredPacketDiffers(
            f"The database's rows of packet {packet.id[:80]!r} say something else than the sealed packet: {'; '.join(differing)}.",
            next_step="Trust the sealed packet and not the rows; restore the database from a backup, and find out who changed it.",
        )
    return packet, verified


def differences(packet: SealedPacket, subjects: Sequence[tuple[str, str]], verified: VerifiedPacket) -> list[str]:
    """What the rows and the sealed bytes do not agree on, in words. Pure."""
    seal = verified.seal
    pairs: list[tuple[str, object, object]] = [
        ("id", packet.id, seal.packet_id),
        ("kind", packet.kind, verified.kind),
        ("environment", packet.environment, seal.environment),
        ("sequence", packet.sequence, seal.sequence),
        ("time", packet.sealed_at, seal.sealed_at),
        ("digest", packet.digest, verified.packet_digest),
        ("key id", packet.key_id, verified.key_id),
    ]
    found = [f"the {name} is {str(stored)[:80]!r}, and {str(sealed)[:80]!r} was sealed" for name, stored, sealed in pairs if stored != sealed]
    same_subjects = list(subjects) == [(one.name, str(one.digest)) for one in verified.statement.subject]
    return found if same_subjects else [*found, "the subjects are not those that were sealed"]
