"""The key history of this installation, in its database: append-only, and read by everybody who seals.

Before a packet is sealed, the newest event must say that the sealing key is the one in force. One row is read for that. So a process that was
started with a key which has been replaced since does not go on with it: it loads its key again, or nothing is sealed.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Final, Protocol, runtime_checkable

import sqlalchemy as sa

from stella_pipelines.core.actor import SYSTEM, Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import ENTROPY_BYTES, identifier
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.errors import KeyHistoryInvalid, KeyNotInForce
from stella_pipelines.evidence.keys.events import KEY_EVENT, Introduced, Revoked, introduced, signed
from stella_pipelines.evidence.keys.history import KeyHistory, checked
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.keys.tables import evidence_key_events
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.errors import Conflict
from stella_pipelines.store.upsert import insert

_ADVISORY_LOCK: Final = 0x57E112
_SHARED: Final = sa.select(sa.func.pg_advisory_xact_lock_shared(_ADVISORY_LOCK))
_ALONE: Final = sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK))
"""Shared by all who seal; alone by who changes the key."""
_FIRST_REASON: Final = "the first key of this installation"
_NEWEST: Final = sa.select(evidence_key_events.c.kind, evidence_key_events.c.key_id).order_by(evidence_key_events.c.position.desc()).limit(1)


@runtime_checkable
class Reloadable(Protocol):
    """A signing key that can be looked for anew where it is kept."""

    def reload(self, key_id: str) -> None:
        """Look again; the key with this id is wanted."""
        ...


def history_of(tx: Transaction) -> KeyHistory:
    """The installation's key history, checked."""
    documents = tx.connection.execute(sa.select(evidence_key_events.c.document).order_by(evidence_key_events.c.position)).scalars()
    try:
        return checked([KEY_EVENT.validate_python(json.loads(document)) for document in documents])
    except ValueError as error:  # pydantic's ValidationError is one
        raise KeyHistoryInvalid(
            "The database's key history is not genuine: an event is not of the form that is known here.",
            next_step="Restore the database from a backup, and find out who changed it.",
        ) from error


def keys_of(tx: Transaction, signer: SigningKey) -> KeyRing:
    """The keys that verify what this installation sealed."""
    history = history_of(tx)
    return history.ring() if history.events else KeyRing.of([signer.public_pem])


def key_in_force(tx: Transaction, signer: SigningKey, at: datetime) -> SigningKey:
    """The key to seal with, which is `signer`; its first use is recorded. `KeyNotInForce` when another key has taken its place."""
    _hold(tx, _SHARED)
    newest = tx.connection.execute(_NEWEST).first()
    if newest is None:
        _introduce_first(tx, signer, at)
        newest = tx.connection.execute(_NEWEST).one()
    in_force = str(newest.key_id if newest.kind == "introduced" else history_of(tx).in_force)
    if signer.key_id != in_force and isinstance(signer, Reloadable):
        signer.reload(in_force)
    if signer.key_id != in_force:
        raise KeyNotInForce(
            f"This installation seals with the key {in_force}, and {signer.key_id} is configured here. Nothing was sealed.",
            next_step="Correct STELLA_SIGNING_KEY and start this process again; to change the key, use 'stella key rotate'.",
        )
    return signer


def hold_still(tx: Transaction) -> None:
    """Until this transaction ends nobody seals. Or what is sealed at this moment with the key that goes would be committed after the change, and
    stand in the log where a revocation no longer trusts it."""
    _hold(tx, _ALONE)


def _hold(tx: Transaction, lock: sa.Select[Any]) -> None:
    if tx.connection.dialect.name == "postgresql":  # on SQLite, who writes is alone
        tx.connection.execute(lock)


def append(tx: Transaction, event: Introduced | Revoked, position: int, actor: Actor) -> None:
    """Write an event and its audit entry. `Conflict` when somebody else has written one in the meantime."""
    row = {"position": position, "kind": event.kind, "key_id": event.key_id, "at": format_instant(event.at), "document": event.canonical().decode()}
    statement = insert(tx, evidence_key_events).values(row).on_conflict_do_nothing(index_elements=["position"])
    if tx.connection.execute(statement.returning(evidence_key_events.c.position)).first() is None:
        raise Conflict("The keys of this installation were changed by somebody else just now.", next_step="Look at 'stella key list', then try again.")
    digest = event.content_digest()
    audit.record(
        tx,
        entry_id=_audit_id(event.at, digest),
        at=event.at,
        actor=actor,
        action=f"key.{'revoke' if isinstance(event, Revoked) else 'introduce'}",
        subject=f"key/{event.key_id}",
        before=event.previous,
        after=digest,
        reason=event.reason,
    )


def _introduce_first(tx: Transaction, signer: SigningKey, at: datetime) -> None:
    """Two who seal at once for the first time both want to; the later one waits and finds the key of the other."""
    event = signed(introduced(signer, at, _FIRST_REASON, None, signer.key_id), signer)
    try:
        append(tx, event, 1, SYSTEM)
    except Conflict:
        return


def _audit_id(at: datetime, digest: Digest) -> str:
    """Made from the event, because the first one is written where no new ids are to be had; no two events are alike."""
    return identifier("aud", at, hashlib.sha256(digest.encode()).digest()[:ENTROPY_BYTES])
