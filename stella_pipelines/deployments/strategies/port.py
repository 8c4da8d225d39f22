"""What a strategy answers: which of the waiting targets form the next wave, and how much may go wrong."""

from __future__ import annotations

from typing import Protocol


class Waves(Protocol):
    """A strategy for one rollout. The rollout opens a wave only when the one before has settled: its size is the limit of what is in flight."""

    @property
    def pause_s(self) -> float:
        """How long to wait after a wave has settled before the next one opens."""
        ...

    def next_wave(self, waiting: tuple[str, ...], total: int) -> tuple[str, ...]:
        """The targets that may be touched together; never empty while somebody waits."""
        ...

    def failures_accepted(self, total: int) -> int:
        """How many targets may fail before the rollout stops."""
        ...
