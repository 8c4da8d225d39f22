"""Reading a stored packet as one who does not trust the database: the signature, and that the rows say what was sealed.

The envelope is what counts. Columns and subject rows are copies of it for searching; whoever can write to the database could change a copy,
or put a genuine envelope under another packet's id, and the signature alone would not show it.
"""

from __future__ import annotations

from collections.abc import Sequence

from stella_pipelines.evidence.errors import CheckpointUnsigned, LogEntryMissing, ProofImpossible, ProofInvalid, StoredPacketDiffers
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.proving import entry_with_id, stored_tree
from stella_pipelines.evidence.log.tlog_proof import LogProof, check_proof
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.store.database import Transaction


def read_verified(evidence: Evidence, tx: Transaction, packet_id: str) -> tuple[SealedPacket, VerifiedPacket]:
    """A packet with this installation's valid signature, whose rows agree with it. `StoredPacketDiffers` when they do not."""
    packet = evidence.get(tx, packet_id)
    ring = evidence.keys(tx)
    verified = verify_packet(packet.envelope, ring, log_index=proven_index(tx, packet_id, ring) if packet.key_id in ring.revoked else None)
    differing = differences(packet, evidence.subjects(tx, packet_id), verified)
    if differing:
        raise StoredPacketDiffers(
            f"The database's rows of packet {packet.id[:80]!r} say something else than the sealed packet: {'; '.join(differing)}.",
            next_step="Trust the sealed packet and not the rows; restore the database from a backup, and find out who changed it.",
        )
    return packet, verified


def proven_index(tx: Transaction, packet_id: str, ring: KeyRing) -> int | None:
    """Where the log proves the packet to stand, by a checkpoint whose key was not revoked; None when it does not."""
    head = heads.newest(tx)
    if head is None:
        return None
    try:
        entry = entry_with_id(tx, packet_id)
        hashes = tuple(stored_tree(tx).inclusion_proof(entry.index, head.size))
        return check_proof(LogProof(entry.leaf_data(), entry.index, hashes, head.note), None, ring.unrevoked).index
    except (LogEntryMissing, CheckpointUnsigned, ProofInvalid, ProofImpossible):
        return None


def differences(packet: SealedPacket, subjects: Sequence[tuple[str, str]], verified: VerifiedPacket) -> list[str]:
    """What the rows and the sealed bytes do not agree on, in words. Pure."""
    seal = verified.seal
    pairs: list[tuple[str, object, object]] = [
        ("id", packet.id, seal.packet_id),
        ("kind", packet.kind, verified.kind),
        ("stream", packet.stream, seal.stream),
        ("sequence", packet.sequence, seal.sequence),
        ("time", packet.sealed_at, seal.sealed_at),
        ("digest", packet.digest, verified.packet_digest),
        ("key id", packet.key_id, verified.key_id),
    ]
    found = [f"the {name} is {str(stored)[:80]!r}, and {str(sealed)[:80]!r} was sealed" for name, stored, sealed in pairs if stored != sealed]
    same_subjects = list(subjects) == [(one.name, str(one.digest)) for one in verified.statement.subject]
    return found if same_subjects else [*found, "the subjects are not those that were sealed"]
