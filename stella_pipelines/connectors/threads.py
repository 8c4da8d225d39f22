"""Blocking libraries, called from asyncio: a few threads per connection, and no effect that goes on unseen after a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

THREADS_MAX: Final = 4
"""Calls that one connection has under way at once. `FANOUT_MAX` targets are worked on together, so this is kept small."""
Result = TypeVar("Result")


class Threads:
    """The threads of one connection. Closing it waits for nobody: a host that hangs must not hold up the others."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=THREADS_MAX, thread_name_prefix=name)

    async def read(self, work: Callable[[], Result]) -> Result:
        """Run something that changes nothing. When cancelled, its answer is thrown away."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def change(self, work: Callable[[], Result]) -> Result:
        """Run something that has an effect. A cancellation is passed on only when the effect is over: what comes next must not meet it half done."""
        effect = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            return await asyncio.shield(effect)
        except asyncio.CancelledError:
            await asyncio.wait([effect])
            if not effect.cancelled():
                effect.exception()  # taken, so that it is not reported as lost: the cancellation goes on instead
            raise

    async def close(self) -> None:
        """Give the threads back. `change` waits for its own effect, so what may still be under way is a question to a peer that does not answer."""
        self._executor.shutdown(wait=False, cancel_futures=True)
