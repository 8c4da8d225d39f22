"""The right to act: one lease for the environment and one per target, renewed while the work goes on.

Each lease has a fencing token that only grows. Every change of a target carries its token, so a process that was paused for too long and
wakes up late is refused by the target as well as by the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from stella_pipelines.core.limits import LEASE_TTL_S
from stella_pipelines.store import leases
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.leases import Lease, LeaseHeld

Gone = Callable[[str], bool]
"""Whether the holder with this name is known to be at work no more. Not knowing is False: then his lease has to end by itself."""


def environment_lease(environment: str) -> str:
    """The name of an environment's lease."""
    return f"environment/{environment}"


def target_lease(target: str) -> str:
    """The name of a target's lease."""
    return f"target/{target}"


def nobody_gone(holder: str) -> bool:
    """The answer of whoever knows nothing about other holders."""
    del holder
    return False


class Authority:
    """The leases of one piece of work. `holder` names one process's work and no other's: two that shared it would take each other's leases."""

    def __init__(self, holder: str, environment: str, gone: Gone = nobody_gone) -> None:
        self.holder = holder
        self.environment = environment
        self._gone = gone
        self._leases: dict[str, Lease] = {}

    def take_environment(self, tx: Transaction, now: datetime) -> None:
        """Take the environment, also from a holder that is gone. `LeaseHeld` names who has it."""
        self._take(tx, self._environment_lease, now)

    def take_targets(self, tx: Transaction, targets: Sequence[str], now: datetime) -> None:
        """Take every target, in one order for everybody, so that two takers cannot wait for each other."""
        for target in sorted(targets):
            self._take(tx, target_lease(target), now)

    def fence(self, target: str) -> int:
        """The token under which a target is changed."""
        return self._leases[target_lease(target)].token

    @property
    def environment_fence(self) -> int:
        """The environment's token."""
        return self._leases[self._environment_lease].token

    def hold(self, tx: Transaction, target: str | None, now: datetime) -> None:
        """Prove in this transaction that the environment and the target are still ours, and extend them. `LeaseLost` otherwise.

        Extending is the proof: it succeeds only while nobody else has taken the lease, also when the wall clock has jumped past its end.
        """
        for name in (self._environment_lease, target_lease(target)) if target else (self._environment_lease,):
            self._leases[name] = leases.renew(tx, self._leases[name], now, LEASE_TTL_S)

    def renew(self, tx: Transaction, now: datetime) -> None:
        """Extend everything that is held."""
        for name, lease in self._leases.items():
            self._leases[name] = leases.renew(tx, lease, now, LEASE_TTL_S)

    def release(self, tx: Transaction) -> None:
        """Give everything back."""
        for lease in self._leases.values():
            leases.release(tx, lease)

    @property
    def _environment_lease(self) -> str:
        return environment_lease(self.environment)

    def _take(self, tx: Transaction, name: str, now: datetime) -> None:
        try:
            self._leases[name] = leases.acquire(tx, name, self.holder, now, LEASE_TTL_S)
        except LeaseHeld as error:
            if error.holder is None or not self._gone(error.holder):
                raise
            self._leases[name] = leases.acquire(tx, name, self.holder, now, LEASE_TTL_S, instead_of=error.holder)
