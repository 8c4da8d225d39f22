"""The log of an installation, for whoever has its store and its key: takes in what waits, and reads its newest head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stella_pipelines.core.clock import Clock
from stella_pipelines.evidence.errors import CheckpointMissing
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.heads import StoredCheckpoint
from stella_pipelines.evidence.log.integrating import BATCH_MAX, integrate, is_waiting
from stella_pipelines.store.database import Store, Transaction

TAKEN_IN_EVERY_S: Final = 0.5
"""How often the submitter looks for what waits: an entry has its proof within a second."""


class Log:
    """See the module's docstring."""

    def __init__(self, store: Store, signer: SigningKey, clock: Clock, batch_max: int = BATCH_MAX) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._batch_max = batch_max

    def take_in(self) -> StoredCheckpoint | None:
        """Take in everything that waits, batch by batch; the last new checkpoint, or None when nothing waited (which costs one read)."""
        made = None
        while is_waiting(self._store):
            with self._store.writing() as tx:
                made = integrate(tx, self._signer, self._clock.now(), self._batch_max) or made
        return made

    @contextmanager
    def reading(self) -> Iterator[tuple[Transaction, StoredCheckpoint]]:
        """Everything that waits is taken in; then one consistent look at the log, and its newest checkpoint. `CheckpointMissing` for an empty log."""
        self.take_in()
        with self._store.reading() as tx:
            head = heads.newest(tx)
            if head is None:
                raise CheckpointMissing("The log is empty.", next_step="It begins with the first thing that is done here, such as 'stella apply'.")
            yield tx, head
