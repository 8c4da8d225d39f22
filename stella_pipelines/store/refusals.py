"""Why PostgreSQL did not open a connection, read from the words of the refusal: libpq gives no codes before a connection stands. Pure.

A server that speaks another language than English is not understood here; its refusal then counts as an outage and is shown in its own words.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Refusal = Literal["credentials", "database", "privilege", "parameters"]

_WORDS: Final[tuple[tuple[Refusal, re.Pattern[str]], ...]] = (
    ("credentials", re.compile(r"authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist|not permitted to log in")),
    ("database", re.compile(r'database ".*" does not exist')),
    ("privilege", re.compile(r"permission denied for database")),
    ("parameters", re.compile(r"invalid dsn|invalid connection option|invalid \w+ value|certificate|private key|does not support SSL|unrecognized")),
)


def refusal_in(words: str) -> Refusal | None:
    """What was refused for good; None when trying again may help."""
    return next((refusal for refusal, pattern in _WORDS if pattern.search(words)), None)
