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


class KindUnknown(PacketRefused):
    """The packet is genuine, but of a kind that this version does not know."""

    code = "EVID_KIND_UNKNOWN"
    default_next_step = "Verify it with a newer version."


class KeyInvalid(StellaError):
    """A file that must hold an Ed25519 key in PEM form holds something else."""

    code = "EVID_KEY_INVALID"


class KeyExposed(StellaError):
    """The private key, or its folder, is open to other accounts or belongs to one, so its signatures prove nothing."""

    code = "EVID_KEY_EXPOSED"


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
