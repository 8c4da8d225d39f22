"""The public keys that a verifier goes by, loaded once, and which of them were revoked. Pure.

A revoked key still proves what it signed before: but only the log says what "before" is, because whoever has the key can write any time into a
packet. So its packets count while they are proven to stand in the log below the size that it had when the key was revoked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import Words
from stella_pipelines.evidence.errors import KeyRevoked, KeyUnknown
from stella_pipelines.evidence.keys.public import PublicKey, load_public_key


class Revocation(Value):
    """When and why a key stopped to be trusted. What stands in the log below `trusted_size` was signed before that."""

    at: Instant
    reason: Words
    trusted_size: Annotated[int, Field(ge=0, strict=True)]


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by their ids."""

    keys: Mapping[str, PublicKey]
    revoked: Mapping[str, Revocation] = field(default_factory=dict)

    @classmethod
    def of(cls, pems: Iterable[bytes]) -> KeyRing:
        """The ring of these PEM files; `KeyInvalid` if one of them is no public key."""
        loaded = [load_public_key(pem) for pem in pems]
        return cls({key.key_id: key for key in loaded})

    @property
    def unrevoked(self) -> list[bytes]:
        """The keys that nothing speaks against, in PEM form: those by which a log's own signatures are judged."""
        return [key.pem for key_id, key in self.keys.items() if key_id not in self.revoked]

    def require(self, key_id: str, log_index: int | None = None) -> PublicKey:
        """The key that may have signed something. `log_index`: where that is proven to stand in the log, if it is.

        `KeyUnknown` for a key that is not on the ring, `KeyRevoked` for one that no longer counts.
        """
        key = self.keys.get(key_id)
        if key is None:
            raise KeyUnknown(f"The packet is signed by the key {key_id}, which was not given.")
        revocation = self.revoked.get(key_id)
        if revocation is not None and (log_index is None or log_index >= revocation.trusted_size):
            raise _revoked(key_id, revocation, log_index)
        return key


def _revoked(key_id: str, revocation: Revocation, log_index: int | None) -> KeyRevoked:
    place = "is not proven to stand in the log" if log_index is None else f"stands in the log at {log_index}"
    return KeyRevoked(
        f"The key {key_id} was revoked at {format_instant(revocation.at)} ({revocation.reason}). What it signed is trusted where it stands in the log "
        f"below {revocation.trusted_size}; this packet {place}."
    )
