"""One open connection per target for the length of a piece of work: opened when first needed, dropped after an error, all closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType

from stella_pipelines.connectors.port import TargetConnector
from stella_pipelines.environments.model import Target

Connectors = Callable[[Target], TargetConnector]


class Connections:
    """The connections to a set of targets. Each target is used by one task at a time."""

    def __init__(self, targets: Mapping[str, Target], connectors: Connectors) -> None:
        self._targets = dict(targets)
        self._connectors = connectors
        self._open: dict[str, TargetConnector] = {}

    async def to(self, target: str) -> TargetConnector:
        """The connection to a target, opened if needed."""
        if target not in self._open:
            connector = self._connectors(self._targets[target])
            self._open[target] = await connector.__aenter__()
        return self._open[target]

    def add(self, targets: Mapping[str, Target]) -> None:
        """Also know these targets."""
        self._targets.update(targets)

    async def drop(self, target: str) -> None:
        """Close the connection after an error: the next step gets a fresh one."""
        connector = self._open.pop(target, None)
        if connector is not None:
            await connector.__aexit__(None, None, None)

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # A connection that cannot be closed well must hide neither the work's own result nor the other connections.
        await asyncio.gather(*(self.drop(target) for target in list(self._open)), return_exceptions=True)
