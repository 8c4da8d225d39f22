"""How long an outbox row rests after its submission failed. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

REST_S: Final = 1.0
"""After the first failure: most of what goes wrong here, such as a busy database, passes at once."""
REST_S_MAX: Final = 300.0
"""A row that fails for a long time waits for a person; within five minutes after the repair it goes on by itself."""


def rest_after(failures: int) -> timedelta:
    """1 s after the first failure, then twice as long each time, up to five minutes."""
    return timedelta(seconds=min(REST_S * 2 ** min(max(failures, 1) - 1, 20), REST_S_MAX))
