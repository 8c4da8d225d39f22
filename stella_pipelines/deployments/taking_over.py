"""Taking a target over whose fence is ahead of this store: the store was restored from a backup, or is a new one.

Only a person knows that no other installation deploys to the target, so only a person asks for this; it is audited, and changes nothing on the
target. The next deployment then acts under a token that is higher than every one that the target has seen.
"""

from __future__ import annotations

from stella_pipelines.connectors.port import Observation
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.limits import LEASE_TTL_S
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.authority import target_lease
from stella_pipelines.deployments.connections import Connections, Connectors
from stella_pipelines.deployments.limits import LOOK_TIMEOUT_S
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.reaching import reach
from stella_pipelines.environments.errors import TargetUnknown
from stella_pipelines.environments.model import Target
from stella_pipelines.environments.service import Environments
from stella_pipelines.evidence import audit
from stella_pipelines.store import leases
from stella_pipelines.store.database import Store


class TakenOver(Value):
    """What became of a target's tokens."""

    target: str
    seen_on_target: int
    token_before: int
    token: int

    @property
    def was_needed(self) -> bool:
        """Whether the target was ahead of the store."""
        return self.seen_on_target > self.token_before


class TakingOver:
    """The use case."""

    def __init__(self, store: Store, environments: Environments, connectors: Connectors, clock: Clock, identifiers: Identifiers) -> None:
        self._store = store
        self._environments = environments
        self._connectors = connectors
        self._clock = clock
        self._identifiers = identifiers

    async def take(self, actor: Actor, name: str, reason: str) -> TakenOver:
        """Ask the target which token it has seen, and give out higher ones from now on. `LeaseHeld` while somebody deploys to it."""
        targets = {target.name: target for target in self._environments.current()[0].targets}
        if name not in targets:
            raise TargetUnknown(f"There is no target {name!r}.", next_step=f"Targets: {', '.join(sorted(targets)) or 'none'}.")
        seen = await self._observed(targets[name])
        return await patiently(lambda: self._lift(actor, name, seen.fence, reason))

    async def _observed(self, target: Target) -> Observation:
        async with Connections({target.name: target}, self._connectors) as connections:

            async def call() -> Observation:
                return await (await connections.to(target.name)).observe(self._clock.now())

            return await reach(call, lambda: connections.drop(target.name), LOOK_TIMEOUT_S)

    def _lift(self, actor: Actor, target: str, seen: int, reason: str) -> TakenOver:
        now = self._clock.now()
        with self._store.writing() as tx:
            lease = leases.acquire(tx, target_lease(target), self._identifiers.new("hld", now), now, LEASE_TTL_S)
            lifted = leases.lift(tx, lease, seen)
            leases.release(tx, lifted)
            taken = TakenOver(target=target, seen_on_target=seen, token_before=lease.token, token=lifted.token)
            audit.record(
                tx,
                entry_id=self._identifiers.new("aud", now),
                at=now,
                actor=actor,
                action="target.take_over",
                subject=f"target/{target}",
                after=taken.content_digest(),
                reason=reason or None,
            )
        return taken
