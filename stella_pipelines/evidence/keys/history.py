"""Every key that ever sealed in an installation, when it did, and whether it was revoked: what an auditor needs of keys, in one public file.

The file is canonical JSON (`key-history-v1.schema.json`), and holds together by itself: each event follows from the one before (`events.py`).
Whoever has the first key, or any other, from a source that he trusts, trusts what it vouches for and nothing else.

Pure. The installation's own table is read and written in `key_book.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from stella_pipelines.core.canonical import NotCanonical, canonical_json, parse_canonical
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.errors import KeyHistoryInvalid, KeyInvalid
from stella_pipelines.evidence.keys.events import KEY_EVENT, Introduced, Revoked, require_signature
from stella_pipelines.evidence.keys.public import PublicKey, load_public_key
from stella_pipelines.evidence.keys.ring import KeyRing, Revocation
from stella_pipelines.evidence.keys.signatures import Algorithm

HISTORY_BYTES_MAX: Final = 4 * 1024 * 1024
EVENTS_MAX: Final = 2_000
"""A key a week for 38 years."""
FORM: Final = "https://stella-pipelines.dev/key-history/v1"


class KeyRecord(Value):
    """One key: it sealed from `since` until `retired_at`, or still does."""

    key_id: str
    algorithm: Algorithm
    public_pem: str
    since: datetime
    retired_at: datetime | None
    vouched_by: str | None
    """The key before it, itself for the first one, or None when the key before was lost."""
    revoked: Revocation | None


@dataclass(frozen=True)
class KeyHistory:
    """The events in their order, checked: `checked` makes it."""

    events: tuple[Introduced | Revoked, ...]

    @property
    def in_force(self) -> str | None:
        """The id of the key that seals now, or None as long as nothing was sealed."""
        return next((event.key_id for event in reversed(self.events) if isinstance(event, Introduced)), None)

    @property
    def head(self) -> Digest | None:
        """The digest of the newest event, which the next one names."""
        return self.events[-1].content_digest() if self.events else None

    @property
    def revocations(self) -> dict[str, Revocation]:
        """What was revoked, by key."""
        found = [event for event in self.events if isinstance(event, Revoked)]
        return {event.key_id: Revocation(at=event.at, reason=event.reason, trusted_size=event.trusted_size) for event in found}

    @property
    def records(self) -> list[KeyRecord]:
        """The keys, oldest first."""
        keys = [event for event in self.events if isinstance(event, Introduced)]
        ends = [*(event.at for event in keys[1:]), None]
        revoked = self.revocations
        return [_record(event, end, revoked.get(event.key_id)) for event, end in zip(keys, ends, strict=True)]

    def ring(self, trusted: Collection[str] | None = None) -> KeyRing:
        """The keys for a verifier. `trusted`: ids of keys that he has from elsewhere; only they and what they vouch for are on the ring then."""
        keys = {event.key_id: load_public_key(event.public_pem.encode()) for event in self.events if isinstance(event, Introduced)}
        followed = set(keys) if trusted is None else self._followed_from(trusted)
        return KeyRing({key_id: key for key_id, key in keys.items() if key_id in followed}, self.revocations)

    def canonical(self) -> bytes:
        """The public file."""
        return canonical_json({"form": FORM, "events": [event.document() for event in self.events]})

    def _followed_from(self, trusted: Collection[str]) -> set[str]:
        followed = set(trusted)
        for event in self.events:
            if isinstance(event, Introduced) and event.by in followed:
                followed.add(event.key_id)
        return followed


def checked(events: Sequence[Introduced | Revoked]) -> KeyHistory:
    """The history of these events, if each follows from the one before; `KeyHistoryInvalid` otherwise."""
    keys: dict[str, PublicKey] = {}
    in_force, head = "", None
    revoked: set[str] = set()
    for event in events:
        if event.previous != head:
            raise _invalid("an event does not name the one before it")
        if isinstance(event, Introduced):
            if event.key_id in keys:
                raise _invalid(f"the key {event.key_id} is introduced twice")
            keys[event.key_id] = _key_of(event)
            if event.by is not None and event.by != (in_force or event.key_id):
                raise _invalid(f"the key {event.key_id} is vouched for by a key that was not in force")
            in_force = event.key_id
        elif event.key_id not in keys or event.key_id in revoked or event.key_id == in_force or event.by != in_force:
            raise _invalid(f"the key {event.key_id} cannot be revoked there")
        else:
            revoked.add(event.key_id)
        if event.by is not None:
            require_signature(event, keys[event.by])
        elif event.signature is not None or head is None:
            raise _invalid("an event that nobody vouches for is signed, or is the first")
        head = event.content_digest()
    return KeyHistory(tuple(events))


def read_history(content: bytes) -> KeyHistory:
    """The history in a file, checked. Says nothing about whether it is the right installation's."""
    if len(content) > HISTORY_BYTES_MAX:
        raise _invalid(f"it has {len(content)} bytes, and a history has at most {HISTORY_BYTES_MAX}")
    try:
        document: Any = parse_canonical(content)
        if not isinstance(document, dict) or document.keys() != {"form", "events"} or document["form"] != FORM:
            raise _invalid("it is not of the form that is known here")
        if not isinstance(document["events"], list) or len(document["events"]) > EVENTS_MAX:
            raise _invalid(f"it has no list of events, or more than {EVENTS_MAX}")
        events = [KEY_EVENT.validate_python(event) for event in document["events"]]
    except (NotCanonical, ValidationError) as error:
        raise _invalid("it is not canonical JSON of the expected form") from error
    history = checked(events)
    if history.canonical() != content:
        raise _invalid("it is not written in its own form")
    return history


def _record(event: Introduced, end: datetime | None, revoked: Revocation | None) -> KeyRecord:
    return KeyRecord(
        key_id=event.key_id,
        algorithm=event.algorithm,
        public_pem=event.public_pem,
        since=event.at,
        retired_at=end,
        vouched_by=event.by,
        revoked=revoked,
    )


def _key_of(event: Introduced) -> PublicKey:
    try:
        key = load_public_key(event.public_pem.encode())
    except KeyInvalid as error:
        raise _invalid(f"what it gives as the key {event.key_id} is none") from error
    if (key.key_id, key.algorithm, key.pem) != (event.key_id, event.algorithm, event.public_pem.encode()):
        raise _invalid(f"what it gives as the key {event.key_id} is another one")
    return key


def _invalid(reason: str) -> KeyHistoryInvalid:
    return KeyHistoryInvalid(
        f"The key history is not genuine: {reason}.", next_step="Do not trust it; get it again from the installation ('stella key export')."
    )
