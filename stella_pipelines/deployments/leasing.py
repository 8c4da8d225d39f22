"""The environment's lease for the length of a use case: taken at its beginning, renewed all the while, given back at its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from stella_pipelines.core.clock import Clock
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.limits import LEASE_RENEW_S
from stella_pipelines.deployments.authority import Authority, Gone
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.store.database import Store


class Leasing:
    """Where use cases get their authority."""

    def __init__(self, store: Store, clock: Clock, identifiers: Identifiers) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers

    @contextlib.asynccontextmanager
    async def of(self, environment: str, holder: str | None, gone: Gone) -> AsyncIterator[Authority]:
        """The authority over an environment for a block."""
        authority = Authority(holder or self._identifiers.new("hld", self._clock.now()), environment, gone)

        def take() -> None:
            with self._store.writing() as tx:
                authority.take_environment(tx, self._clock.now())

        await patiently(take)
        keeping = asyncio.create_task(self._keep(authority))
        try:
            yield authority
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            self.give_back(authority)

    def give_back(self, authority: Authority) -> None:
        """Release the leases. Those that cannot be given back end by themselves; that must not hide how the work ended."""
        with contextlib.suppress(StellaError), self._store.writing() as tx:
            authority.release(tx)

    async def _keep(self, authority: Authority) -> None:
        """Renew while targets are asked before and after a rollout. A lease that is lost is noticed by whoever acts under it next."""
        while True:
            await asyncio.sleep(LEASE_RENEW_S)
            with contextlib.suppress(StellaError), self._store.writing() as tx:
                authority.renew(tx, self._clock.now())
