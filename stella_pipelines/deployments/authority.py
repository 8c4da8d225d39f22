"""The right to act: one lease for the environment and one per target, renewed while the work goes on.

Each lease has a fencing token that only grows. Every change of a target carries its token, so a process that was paused for too long and
wakes up late is refused by the target as well as by the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    """The leases of one piece of work.

    `holder` has the environment. When several processes share a deployment it is the work of all of them, and each has its own targets under a
    name of its own, `worker`: two that shared a name for their targets would take each other's leases.
    """

    def __init__(self, holder: str, environment: str, gone: Gone = nobody_gone, *, worker: str | None = None) -> None:
        self.holder = holder
        self.environment = environment
        self._worker = worker or holder
        self._gone = gone
        self._leases: dict[str, Lease] = {}

    def take_environment(self, tx: Transaction, now: datetime) -> None:
        """Take the environment, also from a holder that is gone. `LeaseHeld` names who has it."""
        self._take(tx, self._environment_lease, self.holder, now)

    def join_environment(self, tx: Transaction, now: datetime) -> None:
        """Act under the environment's lease that this holder took in another process. `LeaseLost` when somebody else has it by now."""
        self._leases[self._environment_lease] = leases.join(tx, self._environment_lease, self.holder, now, LEASE_TTL_S)

    def take_targets(self, tx: Transaction, targets: Iterable[str], now: datetime) -> None:
        """Take every target, in one order for everybody, so that two takers cannot wait for each other."""
        for target in sorted(targets):
            self._take(tx, target_lease(target), self._worker, now)

    def free_targets(self, tx: Transaction, targets: Iterable[str], now: datetime) -> frozenset[str]:
        """Those of the targets that nobody at work has."""
        names = {target_lease(target): target for target in targets}
        held = leases.holders(tx, list(names), now)
        return frozenset(target for name, target in names.items() if name not in held or self._gone(held[name]))

    def fence(self, target: str) -> int:
        """The token under which a target is changed."""
        return self._leases[target_lease(target)].token

    @property
    def environment_fence(self) -> int:
        """The environment's token."""
        return self._leases[self._environment_lease].token

    def hold(self, tx: Transaction, target: str | None, now: datetime) -> None:
        """Prove in this transaction that the environment and the target are still ours, and extend them. `LeaseLost` otherwise.

        Extending is the proof: it succeeds only while nobody else has taken the lease, also when the wall clock has jumped past its end. It
        also locks the environment's row until the commit: whoever writes to a deployment's journal does so one after the other.
        """
        for name in (self._environment_lease, target_lease(target)) if target else (self._environment_lease,):
            self._leases[name] = leases.renew(tx, self._leases[name], now, LEASE_TTL_S)

    def renew(self, tx: Transaction, now: datetime) -> None:
        """Extend everything that is held."""
        self.hold(tx, None, now)  # the environment first, as everybody does
        self._leases.update({lease.name: lease for lease in leases.renew_all(tx, list(self._leases.values()), now, LEASE_TTL_S)})

    def release(self, tx: Transaction) -> None:
        """Give everything back."""
        for _, lease in sorted(self._leases.items()):
            leases.release(tx, lease)

    def hand_on(self) -> None:
        """Leave the environment to the holder's other processes: `release` does not give it back any more."""
        self._leases.pop(self._environment_lease, None)

    @property
    def _environment_lease(self) -> str:
        return environment_lease(self.environment)

    def _take(self, tx: Transaction, name: str, holder: str, now: datetime) -> None:
        try:
            self._leases[name] = leases.acquire(tx, name, holder, now, LEASE_TTL_S)
        except LeaseHeld as error:
            if error.holder is None or not self._gone(error.holder):
                raise
            self._leases[name] = leases.acquire(tx, name, holder, now, LEASE_TTL_S, instead_of=error.holder)
