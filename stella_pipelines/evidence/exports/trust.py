"""Whose signatures count when an export is verified: the keys that the verifier has from elsewhere, and what they vouch for. Pure.

The export brings the key history of its installation. Whoever gives one public key follows it from there, and learns of revocations from the
export itself: somebody who left one out cannot be found out that way. Whoever gives a whole key history (`keys.json`) knows of those in it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.exports.errors import ExportKeyUnknown, HistoryConflicts, ManifestInvalid
from stella_pipelines.evidence.keys.history import KeyHistory, read_history
from stella_pipelines.evidence.keys.public import load_public_key
from stella_pipelines.evidence.keys.ring import KeyRing


@dataclass(frozen=True, slots=True)
class Trust:
    """What the verifier has from a source that he trusts: public keys by their ids, or a key history, or both."""

    key_ids: frozenset[str]
    history: KeyHistory | None = None

    @classmethod
    def of(cls, pems: Sequence[bytes], history: bytes | None = None) -> Self:
        """The trust in these PEM files and this key history. `KeyInvalid` or `KeyHistoryInvalid` when they are none.

        With both, only what the single keys vouch for counts, and the history says what was revoked.
        """
        known = None if history is None else read_history(history)
        given = {load_public_key(pem).key_id for pem in pems}
        return cls(frozenset(given or {record.key_id for record in (known.records if known else ())}), known)

    def ring(self, brought: bytes) -> KeyRing:
        """The keys that count, of those in the history that the export brings."""
        try:
            history = read_history(brought)
        except StellaError as error:
            raise ManifestInvalid(f"The key history in the export is not genuine: {error.what}") from error
        if not self.key_ids & {record.key_id for record in history.records}:
            raise ExportKeyUnknown("None of the given keys ever sealed in the installation that made this export.")
        if self.history is None:
            return history.ring(self.key_ids)
        newer, older = sorted((history, self.history), key=lambda one: len(one.events), reverse=True)
        if newer.events[: len(older.events)] != older.events:
            raise HistoryConflicts("The export's key history and the given one contradict each other.")
        return newer.ring(self.key_ids)
