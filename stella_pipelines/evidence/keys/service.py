"""The keys of an installation, for its owner: their history, putting another one in force, and taking the trust from an old one."""

from __future__ import annotations

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.evidence.errors import KeyMissing
from stella_pipelines.evidence.keys import changes as key_changes
from stella_pipelines.evidence.keys.book import history_of, keys_of
from stella_pipelines.evidence.keys.events import Introduced, Revoked
from stella_pipelines.evidence.keys.history import KeyHistory, KeyRecord
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log.genuine import genuine_tree
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.store.database import Store


class Keys:
    """See the module's docstring."""

    def __init__(self, store: Store, signer: SigningKey, log: Log, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._log = log
        self._clock = clock

    def history(self) -> KeyHistory:
        """Every key that ever sealed here."""
        with self._store.reading() as tx:
            return history_of(tx)

    def find(self, key_id: str) -> KeyRecord:
        """One key by its id, or by the beginning of it that no other has."""
        found = [record for record in self.history().records if key_id and record.key_id.startswith(key_id)]
        if len(found) != 1:
            many = "More than one key" if found else "No key"
            raise KeyMissing(f"{many} that begins with {key_id[:80]!r} ever sealed here.", next_step="'stella key list' shows them.")
        return found[0]

    def rotate(self, actor: Actor, new: SigningKey, reason: str, *, lost: bool = False) -> Introduced:
        """Put `new` in force; the key before vouches for it, unless it is `lost`."""
        with self._store.writing() as tx:
            return key_changes.rotate(tx, old=None if lost else self._signer, new=new, at=self._clock.now(), actor=actor, reason=reason)

    def revoke(self, actor: Actor, key_id: str, reason: str) -> Revoked:
        """Take the trust from an old key. What it sealed until now is taken into the log first, and stays verifiable with its proof."""
        key_changes.require_revocable(self.history(), key_id)
        self._log.take_in()
        with self._store.writing() as tx:
            size = genuine_tree(tx, keys_of(tx, self._signer)).size
            return key_changes.revoke(tx, key_id=key_id, signer=self._signer, trusted_size=size, at=self._clock.now(), actor=actor, reason=reason)
