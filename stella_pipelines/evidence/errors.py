"""What can be wrong with evidence. A verifier answers with exactly one of these, or with a verified packet; there is no third answer."""

from __future__ import annotations

from typing import ClassVar

from stella_pipelines.core.errors import StellaError


class PacketRefused(StellaError):
    """Base of every reason to refuse a packet's bytes."""

    default_next_step: ClassVar[str] = "Do not trust this packet; ask for a fresh copy."

    def __init__(self, what: str, *, next_step: str | None = None) -> None:
        super().__init__(what, next_step=next_step or self.default_next_step)


class PacketTooLarge(PacketRefused):
    """The bytes are more than a packet can have; they were not looked at."""

    code = "EVID_TOO_LARGE"


class PacketMalformed(PacketRefused):
    """The bytes are not a sealed packet: not the envelope's form, or its payload is not a statement of ours."""

    code = "EVID_MALFORMED"


class PacketNotCanonical(PacketRefused):
    """The packet says the right things in other bytes than the canonical ones (RFC 8785), so its identity is lost."""

    code = "EVID_NOT_CANONICAL"
    default_next_step = "Get the packet's original bytes; an editor or a JSON formatter has changed this copy."


class SignatureInvalid(PacketRefused):
    """A signature does not belong to these bytes: the packet was changed after it was sealed."""

    code = "EVID_SIGNATURE_INVALID"
    default_next_step = "Treat the packet as forged; compare it with the original in the store."


class KeyUnknown(PacketRefused):
    """A signature was made by a key that the verifier was not given."""

    code = "EVID_KEY_UNKNOWN"
    default_next_step = "Give the public key of the installation that sealed the packet, from a source that you trust."


class KeyRevoked(PacketRefused):
    """A signature was made by a key that was revoked, and nothing proves that it was made before that."""

    code = "EVID_KEY_REVOKED"
    default_next_step = "Verify it with its proof from the log (an export carries one); if it stands there too late, treat it as forged."


class KindUnknown(PacketRefused):
    """The packet is genuine, but of a kind that this version does not know."""

    code = "EVID_KIND_UNKNOWN"
    default_next_step = "Verify it with a newer version."


class KeyInvalid(StellaError):
    """What must hold an Ed25519 or ECDSA P-256 key in PEM form holds something else."""

    code = "EVID_KEY_INVALID"


class KeyHistoryInvalid(StellaError):
    """A key history is not one, or was changed: its events do not follow from each other."""

    code = "EVID_KEY_HISTORY_INVALID"


class KeyNotInForce(StellaError):
    """The configured signing key is not the one that this installation seals with, so nothing is sealed."""

    code = "EVID_KEY_NOT_IN_FORCE"


class KeyChangeRefused(StellaError):
    """A key cannot be rotated or revoked in this way."""

    code = "EVID_KEY_CHANGE_REFUSED"


class KeyMissing(StellaError):
    """No key with this id ever sealed here."""

    code = "RES_KEY_MISSING"


class KeyExposed(StellaError):
    """The private key, or its folder, is open to other accounts or belongs to one, so its signatures prove nothing."""

    code = "EVID_KEY_EXPOSED"


class ProofInvalid(StellaError):
    """A Merkle proof is malformed, or does not lead to the root that it was given for."""

    code = "EVID_PROOF_INVALID"

    def __init__(self, what: str) -> None:
        super().__init__(
            what, next_step="Do not trust what it was to prove; keep it, with both checkpoints, for it may show that the log's history was rewritten."
        )


class ProofImpossible(StellaError):
    """A proof was asked for that no tree of this size has: there is no such entry, or the log never had that size."""

    code = "EVID_PROOF_IMPOSSIBLE"


class TreeDamaged(StellaError):
    """The stored nodes of the log's tree are not what a tree of its size has: the database was damaged or edited."""

    code = "EVID_TREE_DAMAGED"


class CheckpointInvalid(StellaError):
    """The bytes are not a checkpoint of the expected log in its one written form, or a signature on it by a known key is wrong."""

    code = "EVID_CHECKPOINT_INVALID"


class CheckpointUnsigned(StellaError):
    """The checkpoint has the right form, but no signature by a known key of its log."""

    code = "EVID_CHECKPOINT_UNSIGNED"


class CheckpointUnwitnessed(StellaError):
    """The log signed this checkpoint, but fewer known witnesses than were asked for did."""

    code = "EVID_CHECKPOINT_UNWITNESSED"


class CheckpointConflicts(StellaError):
    """A checkpoint cannot follow one that was seen before: it is older, of another log, or of another history of the same size."""

    code = "EVID_CHECKPOINT_CONFLICTS"


class PredicateInvalid(StellaError):
    """A packet was about to be sealed whose predicate lacks what every predicate must say."""

    code = "EVID_PREDICATE_INVALID"


class EvidenceMissing(StellaError):
    """No packet with this id is stored."""

    code = "RES_EVIDENCE_MISSING"


class AuditEntryMissing(StellaError):
    """No audit entry with this id is stored."""

    code = "RES_AUDIT_ENTRY_MISSING"


class StoredPacketDamaged(StellaError):
    """A stored packet no longer hashes to its own digest: the database was damaged or edited."""

    code = "EVID_STORED_DAMAGED"


class StoredPacketDiffers(StellaError):
    """A stored packet is genuine, but the database's rows say something else about it than was sealed: rows were edited or swapped."""

    code = "EVID_STORED_DIFFERS"


class ClockWentBack(StellaError):
    """The machine's clock stands far behind the newest packet; a decision made now would stand at a wrong time."""

    code = "SYS_CLOCK_WENT_BACK"


class LogEntryMissing(StellaError):
    """The log has no entry with this id."""

    code = "RES_LOG_ENTRY_MISSING"


class CheckpointMissing(StellaError):
    """The log has no checkpoint of this size, or none at all."""

    code = "RES_CHECKPOINT_MISSING"
