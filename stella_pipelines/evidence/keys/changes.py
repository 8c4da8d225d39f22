"""Putting another key in force, and taking the trust from an old one. Each is one event in the key history, with its audit entry."""

from __future__ import annotations

from datetime import datetime

from stella_pipelines.core.actor import Actor
from stella_pipelines.evidence.errors import KeyChangeRefused, KeyMissing, KeyNotInForce
from stella_pipelines.evidence.keys.book import append, history_of, hold_still
from stella_pipelines.evidence.keys.events import Introduced, Revoked, introduced, signed
from stella_pipelines.evidence.keys.history import KeyHistory
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.store.database import Transaction


def rotate(tx: Transaction, *, old: SigningKey | None, new: SigningKey, at: datetime, actor: Actor, reason: str) -> Introduced:
    """From this transaction on `new` seals, and `old` vouches for it. `old` is None when it is lost: then nobody can follow from it to the new one."""
    hold_still(tx)
    history = history_of(tx)
    if new.key_id in {record.key_id for record in history.records}:
        raise KeyChangeRefused(f"The key {new.key_id} has sealed here before.", next_step="Give a key that is new; 'stella key list' shows the old ones.")
    if old is not None and history.in_force not in (None, old.key_id):
        raise KeyNotInForce(
            f"The key {history.in_force} is in force, and {old.key_id} is configured here.",
            next_step="Correct STELLA_SIGNING_KEY; if the key in force is lost, use 'stella key rotate --lost'.",
        )
    voucher = new if history.in_force is None else old
    event = introduced(new, at, reason, history.head, None if voucher is None else voucher.key_id)
    event = event if voucher is None else signed(event, voucher)
    append(tx, event, len(history.events) + 1, actor)
    return event


def revoke(tx: Transaction, *, key_id: str, signer: SigningKey, trusted_size: int, at: datetime, actor: Actor, reason: str) -> Revoked:
    """Take the trust from a key, but for what stands in the log below `trusted_size`."""
    hold_still(tx)
    history = history_of(tx)
    require_revocable(history, key_id)
    if history.head is None or history.in_force != signer.key_id:
        raise KeyNotInForce(f"The key {history.in_force} is in force, and {signer.key_id} is configured here.", next_step="Correct STELLA_SIGNING_KEY.")
    event = Revoked(key_id=key_id, at=at, reason=reason, trusted_size=trusted_size, previous=history.head, by=signer.key_id)
    event = signed(event, signer)
    append(tx, event, len(history.events) + 1, actor)
    return event


def require_revocable(history: KeyHistory, key_id: str) -> None:
    """`KeyMissing` or `KeyChangeRefused`, unless this is an old key that is still trusted."""
    record = next((one for one in history.records if one.key_id == key_id), None)
    if record is None:
        raise KeyMissing(f"No key {key_id[:80]!r} ever sealed here.", next_step="'stella key list' shows them.")
    if record.revoked is not None:
        raise KeyChangeRefused(f"The key {key_id} is revoked already.", next_step="There is nothing to do.")
    if history.in_force == key_id:
        raise KeyChangeRefused(f"The key {key_id} is the one that seals.", next_step="Put another in force first ('stella key rotate'), then revoke this one.")
