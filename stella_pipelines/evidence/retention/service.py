"""Retention for an installation: holds, the plan of a purge (the dry run), and the purge."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.retention import holds
from stella_pipelines.evidence.retention.errors import PlanChanged, PurgeForbidden, ReasonMissing, RetentionForEver, RetentionNotOver
from stella_pipelines.evidence.retention.planning import Plan, Planned, Progress, make_plan
from stella_pipelines.evidence.retention.purging import Purging
from stella_pipelines.evidence.retention.scopes import Hold, Scope
from stella_pipelines.evidence.retention.sealing import Order, Sealer
from stella_pipelines.evidence.retention.selecting import count_old
from stella_pipelines.evidence.retention.sweeping import Sweeping
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.store.database import Store, Transaction


class PurgeReport(Value):
    """What a purge did."""

    plan: Digest
    packets: int
    blobs: int
    bytes: int
    purge_packets: tuple[str, ...]


class Retention:
    """See the module's docstring. `owner_store` opens the database as the owner of its tables, where that is another role than the application's."""

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        log: Log,
        clock: Clock,
        identifiers: Identifiers,
        *,
        retention_days: int,
        owner_store: Callable[[], AbstractContextManager[Store]],
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._log = log
        self._clock = clock
        self._identifiers = identifiers
        self._retention_days = retention_days
        self._owner_store = owner_store

    def place(self, actor: Actor, scope: Scope, reason: str) -> Hold:
        """Place a legal hold."""
        now = self._clock.now()
        with self._store.writing() as tx:
            ids = self._identifiers.new("lgh", now), self._identifiers.new("aud", now)
            return holds.place(tx, hold_id=ids[0], entry_id=ids[1], scope=scope, reason=reason, by=actor, at=now)

    def lift(self, actor: Actor, hold_id: str, reason: str) -> Hold:
        """Lift a legal hold that somebody else placed."""
        now = self._clock.now()
        with self._store.writing() as tx:
            return holds.lift(tx, hold_id=hold_id, entry_id=self._identifiers.new("aud", now), reason=reason, by=actor, at=now)

    def holds(self) -> list[Hold]:
        """Every hold, oldest first."""
        with self._store.reading() as tx:
            return holds.every(tx)

    def count_old(self, before: datetime | None = None) -> int:
        """How many packets a plan looks at."""
        with self._store.reading() as tx:
            return count_old(tx, self._sealed_before(before))

    def plan(self, before: datetime | None = None, agreed: Digest | None = None, progress: Progress | None = None) -> Plan:
        """What a purge would do now. Changes nothing."""
        return self._planned(before, agreed, progress).plan

    def purge(self, actor: Actor, reason: str, before: datetime | None = None, agreed: Digest | None = None, progress: Progress | None = None) -> PurgeReport:
        """Carry out the plan, which must be the agreed one if one is given; then take away the blobs that nothing names any more."""
        if not reason.strip():
            raise ReasonMissing("A purge is done for a reason, and none was given.", next_step="Say why (--reason TEXT).")
        self._sealed_before(before)
        with self._owner_store() as store:
            with store.reading() as tx:
                _require_right(tx)
            self._log.take_in()
            planned = self._planned(before, agreed)
            if agreed is not None and planned.plan.digest != agreed:
                raise PlanChanged(
                    f"What would go now is {planned.plan.digest}, and not {agreed}.",
                    next_step="Look at 'stella evidence purge --dry-run' again, and agree anew.",
                )
            report = self._carry_out(store, planned, self._order(actor, reason, planned.plan), progress)
        self._log.take_in()
        return report

    def _carry_out(self, store: Store, planned: Planned, order: Order, progress: Progress | None) -> PurgeReport:
        sealer = Sealer(self._evidence, self._identifiers, order)
        purging = Purging(store, self._evidence, sealer, self._clock, order)
        sweeping = Sweeping(store, sealer, self._clock, order)
        try:
            for page in planned.pages:
                purging.take(planned, page)
                if progress is not None:
                    progress(purging.packets)
            sweeping.sweep()
        except StellaError as error:
            if purging.packets or sweeping.blobs:  # each batch is a transaction of its own, and stays
                done = f"{purging.packets} packets and {sweeping.blobs} blobs were purged before"
                error.unchanged = f"{done}, each told in a sealed packet; nothing else was changed. The same command goes on."
            raise
        return PurgeReport(
            plan=order.plan,
            packets=purging.packets,
            blobs=sweeping.blobs,
            bytes=purging.bytes + sweeping.bytes,
            purge_packets=(*purging.purge_packets, *sweeping.purge_packets),
        )

    def _planned(self, before: datetime | None, agreed: Digest | None, progress: Progress | None = None) -> Planned:
        sealed_before = self._sealed_before(before)
        with self._store.reading() as tx:
            ring = self._evidence.keys(tx)
            return make_plan(tx, ring, sealed_before=sealed_before, retention_days=self._retention_days, agreed=agreed, progress=progress)

    def _order(self, actor: Actor, reason: str, plan: Plan) -> Order:
        days, before = plan.retention_days, plan.sealed_before
        return Order(actor=actor, reason=reason, plan=plan.digest, retention_days=days, sealed_before=before, held=plan.held)

    def _sealed_before(self, before: datetime | None) -> datetime:
        """The retention's end is a midnight, so that a plan stays what it is for a day. Somebody may ask for less, never for more."""
        if self._retention_days == 0:
            raise RetentionForEver("This installation keeps evidence for ever.", next_step="Set STELLA_EVIDENCE_RETENTION_DAYS to change that.")
        over = retention_over(self._clock.now(), self._retention_days)
        if before is not None and before > over:
            raise RetentionNotOver(
                f"Evidence is kept for {self._retention_days} days; what was sealed from {format_instant(over)} on may not go yet.",
                next_step="Give an earlier time, or none.",
            )
        return before or over


def retention_over(now: datetime, retention_days: int) -> datetime:
    """Before this time the retention is over. Pure."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=retention_days)


def _require_right(tx: Transaction) -> None:
    if tx.connection.dialect.name != "postgresql":
        return
    role, may = tx.connection.execute(sa.text("SELECT current_user, has_table_privilege('evidence_packets', 'DELETE')")).one()
    if not may:
        raise PurgeForbidden(
            f"The database's role {role} may not delete evidence: only the owner of the tables may, and a purge works as the owner.",
            next_step="Set STELLA_DATABASE_OWNER_URL for this one command.",
        )
