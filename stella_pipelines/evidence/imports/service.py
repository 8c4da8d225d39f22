"""Imports into this installation: everything is verified first, also against what was imported from the same installation before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.exports.comparing import read_proofs, require_consistent
from stella_pipelines.evidence.exports.manifest import CONSISTENCY
from stella_pipelines.evidence.exports.opening import opened
from stella_pipelines.evidence.exports.reading import ReadExport, read_export
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.exports.verifying import ExportReport, verify_read
from stella_pipelines.evidence.imports.errors import ImportOfOwn
from stella_pipelines.evidence.imports.storing import conflicting, store_export
from stella_pipelines.evidence.imports.tables import imported_exports
from stella_pipelines.evidence.keys.history import KeyHistory, read_history
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.checkpoints import Checkpoint
from stella_pipelines.evidence.log.notes import read_base64
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import Conflict

Counting = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


class Imported(Value):
    """An export that is imported now. `is_new`: it was not before."""

    report: ExportReport
    is_new: bool


class Imports:
    """See the module's docstring."""

    def __init__(self, store: Store, clock: Clock, identifiers: Identifiers) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers

    def take(self, actor: Actor, path: Path, trust: Trust, counting: Counting, *, older: bytes | None = None, reason: str | None = None) -> Imported:
        """Verify the export, and store it if it is not there yet."""
        with opened(path) as file:
            export = read_export(file, trust)
            with self._store.reading() as tx:
                trust = _with_what_is_known(tx, export, trust)
            export = read_export(file, trust)
            counts = export.manifest.summary.counts
            with counting("verifying it", counts.total) as progress:
                report = verify_read(export, older=older, progress=progress)
            with self._store.reading() as tx:
                _require_not_own(tx, export)
                if _is_there(tx, export):
                    return Imported(report=report, is_new=False)
            with counting("storing it", counts.packets + counts.audit + counts.blobs) as progress:
                return Imported(report=report, is_new=self._store_it(export, trust, actor, reason, progress))

    def _store_it(self, export: ReadExport, trust: Trust, actor: Actor, reason: str | None, progress: Callable[[int], None]) -> bool:
        at = self._clock.now()
        audit_id = self._identifiers.new("aud", at)
        try:
            with self._store.writing() as tx:
                _require_one_history(tx, export)
                if _is_there(tx, export):  # somebody else was quicker
                    return False
                trusted = sorted(trust.key_ids)
                for done in store_export(tx, export, trusted=trusted, actor=actor, audit_id=audit_id, reason=reason, at=at):
                    progress(done)
        except Conflict as error:
            raise conflicting("an entry stands at two places") from error
        return True


def _with_what_is_known(tx: Transaction, export: ReadExport, trust: Trust) -> Trust:
    """The same trust, which also knows of the keys and revocations that came with imports before."""
    origin = export.manifest.summary.log.origin
    query = sa.select(imported_exports.c.key_history).where(imported_exports.c.origin == origin)
    known: list[KeyHistory] = [read_history(keys.encode()) for keys in tx.connection.execute(query).scalars().unique()]
    longest = max([*known, *([trust.history] if trust.history else [])], key=lambda history: len(history.events), default=None)
    return Trust(trust.key_ids, longest)


def _require_not_own(tx: Transaction, export: ReadExport) -> None:
    if heads.known_origin(tx) == export.manifest.summary.log.origin:
        raise ImportOfOwn("This export was made in this installation.", next_step="Use 'stella evidence list' and 'show': everything in it is here.")


def _is_there(tx: Transaction, export: ReadExport) -> bool:
    query = sa.select(imported_exports.c.digest).where(imported_exports.c.digest == export.digest)
    return tx.connection.execute(query).first() is not None


def _require_one_history(tx: Transaction, export: ReadExport) -> None:
    """The checkpoints that came before are of the same log, as far as that can be seen: by a proof, or by the same size."""
    head = export.manifest.summary.log
    proofs = read_proofs(export.content(CONSISTENCY))
    query = sa.select(imported_exports.c.log_size, imported_exports.c.root).where(imported_exports.c.origin == head.origin)
    for size, root in tx.connection.execute(query.distinct()):
        if size == head.size and root != head.root:
            raise conflicting(f"its log of {size} entries has another root")
        if size in proofs:
            require_consistent(export, Checkpoint(origin=head.origin, size=size, root=read_base64(root) or b""))
