"""Waiting for what another process does, without sleeping longer than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def eventually(what: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """The first true answer of `what`."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"did not happen within {timeout_s:g} s"
        time.sleep(0.02)
