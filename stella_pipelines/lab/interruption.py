"""Make sure that a lab is removed when its process is told to end, and that the removal itself is not cut short.

SIGTERM and SIGHUP end a Python process on the spot, without leaving any `with` block; here they become `SystemExit`, as Ctrl-C becomes
`KeyboardInterrupt`. Only the main thread can do that; elsewhere nothing is changed, and the sweep has to do.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_ALL: Final = (signal.SIGINT, *_ENDING)


class Interruption:
    """Signal handlers for as long as a lab stands."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def begin(self) -> None:
        """From now on, a signal that asks this process to end leaves its `with` blocks. A handler that somebody else set is kept."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in _ENDING}
            for number, handler in self._before.items():
                if handler is signal.SIG_DFL:
                    signal.signal(number, _leave)

    def end(self) -> None:
        """Put the handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back signals that ask to end until the block is done; it must be short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[signal.Signals] = []
    before = {number: signal.signal(number, lambda received, _frame: held.append(signal.Signals(received))) for number in _ALL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(held):
            signal.raise_signal(number)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
