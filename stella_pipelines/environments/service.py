"""The estate's use cases: what is applied now, what would change, and applying a new one.

`apply` is one transaction: the document as a blob, the revision, the audit entry. The same estate again changes nothing and leaves no trace.
Parsing files and showing differences is not done here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock, Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.values import Value
from stella_pipelines.environments.diff import Change, diff
from stella_pipelines.environments.errors import EstateInUse, EstateRevisionMissing, TargetNotLeaving, TargetStillRuns
from stella_pipelines.environments.estate import in_order, require_valid
from stella_pipelines.environments.leaving import Leaving, what_leaves
from stella_pipelines.environments.model import Estate
from stella_pipelines.environments.tables import estate_revisions
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import Conflict

ESTATE_MEDIA_TYPE = "application/vnd.stella.estate.v1+json"
InUse = Callable[[Transaction], Mapping[str, str]]
"""Which environments and targets are in use now, and why: `environment/<name>` or `target/<name>` to half a sentence."""

StillRunning = Callable[[Transaction, str], Mapping[str, str]]
"""Which targets of an environment still run something that was deployed to them, and what: a target's name to half a sentence."""


class EstateRevision(Value):
    """One applied revision. `digest` is that of the estate's document, `source_digest` that of the file's bytes."""

    revision: int
    digest: Digest
    source_digest: Digest
    applied_by: str
    applied_at: Instant


def nothing_in_use(tx: Transaction) -> Mapping[str, str]:
    """The answer of an installation in which nothing is deployed yet."""
    del tx
    return {}


def nothing_runs(tx: Transaction, environment: str) -> Mapping[str, str]:
    """The answer of an installation that never deployed anything."""
    del tx, environment
    return {}


class Environments:
    """The estate of one installation. Safe to share between threads."""

    def __init__(
        self, store: Store, clock: Clock, identifiers: Identifiers, in_use: InUse = nothing_in_use, still_running: StillRunning = nothing_runs
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._in_use = in_use
        self._still_running = still_running
        self._read: tuple[Digest, Estate] | None = None  # the newest document, parsed once

    def current(self, tx: Transaction | None = None) -> tuple[Estate, int]:
        """The applied estate and its revision; the empty estate and 0 before the first `apply`. One indexed row when nothing changed since."""
        if tx is None:
            with self._store.reading() as reading:
                return self.current(reading)
        newest = self._newest(tx)
        return (Estate(), 0) if newest is None else (self._document(tx, newest.digest), newest.revision)

    def at_revision(self, revision: int) -> Estate:
        """The estate as it was at a revision; 0 is the empty one."""
        if revision == 0:
            return Estate()
        with self._store.reading() as tx:
            digest = tx.connection.execute(sa.select(estate_revisions.c.digest).where(estate_revisions.c.revision == revision)).scalar()
            if digest is None:
                raise EstateRevisionMissing(f"There is no estate revision {revision}.", next_step="Revisions begin with 1; the newest is the applied one.")
            return _parsed(tx, Digest(digest))

    def revisions(self, limit: int = 50) -> list[EstateRevision]:
        """The applied revisions, newest first."""
        query = sa.select(estate_revisions).order_by(estate_revisions.c.revision.desc()).limit(limit)
        with self._store.reading() as tx:
            return [EstateRevision.model_validate(dict(row)) for row in tx.connection.execute(query).mappings()]

    def diff(self, new: Estate) -> tuple[Change, ...]:
        """What `apply` would change."""
        return diff(self.current()[0], in_order(new))

    def apply(
        self, actor: Actor, new: Estate, *, source_digest: Digest, expected_revision: int | None = None, forget: Collection[str] = ()
    ) -> tuple[int, tuple[Change, ...]]:
        """Make `new` the estate. Returns its revision and what changed; nothing, when it is the estate already.

        `expected_revision` is the revision that the caller looked at: when another one is applied by now, this is a `Conflict`.
        `forget` names targets that may leave, or be in another place, although they still run what was deployed to them; nothing is stopped there.
        Raises `InvalidEstate`, `EstateInUse`, `TargetStillRuns`, `TargetNotLeaving`, `Conflict`.
        """
        new = require_valid(new)
        with self._store.writing() as tx:
            old, revision = self.current(tx)
            if expected_revision not in (None, revision):
                raise Conflict(f"The estate is at revision {revision} now, not {expected_revision}.", next_step="Look at the difference again, then apply.")
            changes = diff(old, new)
            if not changes:
                return revision, ()
            leaving = what_leaves(old, new)
            self._refuse_in_use(tx, leaving)
            self._refuse_still_running(tx, old, leaving, forget)
            self._append(tx, revision, new, actor=actor, source_digest=source_digest, forgotten=forget)
        return revision + 1, changes

    def _append(self, tx: Transaction, revision: int, new: Estate, *, actor: Actor, source_digest: Digest, forgotten: Collection[str]) -> None:
        now = self._clock.now()
        digest = blobs.put(tx, new.canonical(), ESTATE_MEDIA_TYPE, now)
        row = {"revision": revision + 1, "digest": digest, "source_digest": source_digest, "applied_by": actor.name, "applied_at": format_instant(now)}
        tx.connection.execute(sa.insert(estate_revisions).values(row))  # a taken revision is a Conflict
        audit.record(
            tx,
            entry_id=self._identifiers.new("aud", now),
            at=now,
            actor=actor,
            action="estate.apply",
            subject=f"estate/{revision + 1}",
            after=row_digest(row),
            reason=f"forgot the targets {', '.join(sorted(forgotten))}" if forgotten else None,
        )

    def _refuse_in_use(self, tx: Transaction, leaving: Leaving) -> None:
        reasons = {subject: reason for subject, reason in self._in_use(tx).items() if subject in leaving.subjects} if leaving.subjects else {}
        if reasons:
            raise EstateInUse(reasons)

    def _refuse_still_running(self, tx: Transaction, old: Estate, leaving: Leaving, forget: Collection[str]) -> None:
        staying = sorted(set(forget) - leaving.targets)
        if staying:
            raise TargetNotLeaving(
                f"{', '.join(staying)} would not leave the estate.", next_step="Forget only targets that the new estate no longer has, or has in another place."
            )
        unforgotten = [target for target in old.targets if target.name in leaving.targets and target.name not in forget]
        running: dict[str, str] = {}
        for environment in sorted({target.environment for target in unforgotten}):
            running |= self._still_running(tx, environment)
        reasons = {target.name: running[target.name] for target in unforgotten if target.name in running}
        if reasons:
            raise TargetStillRuns(reasons, moved={name: leaving.moved[name] for name in reasons if name in leaving.moved})

    def _newest(self, tx: Transaction) -> EstateRevision | None:
        row = tx.connection.execute(sa.select(estate_revisions).order_by(estate_revisions.c.revision.desc()).limit(1)).mappings().first()
        return EstateRevision.model_validate(dict(row)) if row else None

    def _document(self, tx: Transaction, digest: Digest) -> Estate:
        read = self._read
        if read is None or read[0] != digest:
            read = self._read = (digest, _parsed(tx, digest))
        return read[1]


def _parsed(tx: Transaction, digest: Digest) -> Estate:
    return Estate.model_validate_json(blobs.get(tx, digest))
