"""What happens to the keys of an installation: one is introduced, another takes its place, one is revoked. Pure values, each signed.

Every event names the digest of the one before it and is signed by the key that was in force then; a first key signs for itself. So the events
cannot be reordered, cut out or added to by anybody without such a key, and whoever trusts the first key can follow to the newest.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, StringConstraints, TypeAdapter
from securesystemslib.dsse import Envelope

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import Words
from stella_pipelines.evidence.errors import KeyHistoryInvalid, SignatureInvalid
from stella_pipelines.evidence.keys.public import PUBLIC_PEM_BYTES_MAX, PublicKey
from stella_pipelines.evidence.keys.signatures import Algorithm
from stella_pipelines.evidence.keys.signing import SigningKey

EVENT_TYPE: Final = "application/vnd.stella-pipelines.key-event.v1+json"
"""What is signed is the DSSE encoding of this type and the event's canonical JSON without `signature`, so no event can pass for a packet."""
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Introduced(Value):
    """From now on this key seals. `by`: the key that vouches for it; null when the key before was lost, and then nothing but a person does."""

    kind: Literal["introduced"] = "introduced"
    key_id: KeyId
    algorithm: Algorithm
    public_pem: Annotated[str, StringConstraints(max_length=PUBLIC_PEM_BYTES_MAX)]
    at: Instant
    reason: Words
    previous: Digest | None
    by: KeyId | None
    signature: Annotated[str, StringConstraints(max_length=100)] | None = None


class Revoked(Value):
    """This key is no longer trusted, but for what stands in the log below `trusted_size`."""

    kind: Literal["revoked"] = "revoked"
    key_id: KeyId
    at: Instant
    reason: Words
    trusted_size: Annotated[int, Field(ge=0, strict=True)]
    previous: Digest
    by: KeyId
    signature: Annotated[str, StringConstraints(max_length=100)] | None = None


Event = TypeVar("Event", Introduced, Revoked)
KeyEvent = Annotated[Introduced | Revoked, Field(discriminator="kind")]
KEY_EVENT: Final[TypeAdapter[Introduced | Revoked]] = TypeAdapter(KeyEvent)


def introduced(new: SigningKey, at: datetime, reason: str, previous: Digest | None, by: str | None) -> Introduced:
    """The event that puts a key in force; not signed yet."""
    pem = new.public_pem.decode()
    return Introduced(key_id=new.key_id, algorithm=new.algorithm, public_pem=pem, at=at, reason=reason, previous=previous, by=by)


def signed(event: Event, key: SigningKey) -> Event:
    """The event with the signature of the key that it names in `by`."""
    return event.model_copy(update={"signature": base64.b64encode(key.sign(_signed_bytes(event))).decode()})


def require_signature(event: Introduced | Revoked, key: PublicKey) -> None:
    """`KeyHistoryInvalid` unless this key signed the event."""
    try:
        key.verify(_strict(event.signature or ""), _signed_bytes(event))
    except SignatureInvalid as error:
        raise KeyHistoryInvalid(
            f"The key history says that the key {event.key_id} was {event.kind}, and the signature under it does not fit.",
            next_step="Do not trust this history; get it again from the installation ('stella key export').",
        ) from error


def _strict(text: str) -> bytes:
    """The signature, or nothing when the base64 is broken or not in its one spelling."""
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        return b""
    return content if base64.b64encode(content).decode() == text else b""


def _signed_bytes(event: Introduced | Revoked) -> bytes:
    document = event.document()
    del document["signature"]
    return Envelope(canonical_json(document), EVENT_TYPE, {}).pae()
