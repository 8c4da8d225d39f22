"""Secrets travel by reference; a secret's value is a type that cannot be printed by accident."""

from __future__ import annotations

import hmac
from typing import Annotated

from pydantic import StringConstraints

SecretReference = Annotated[str, StringConstraints(pattern=r"^(env://[A-Za-z_][A-Za-z0-9_]*|file:///[^\x00\n]+)$")]
"""`env://NAME` or `file:///absolute/path`. Where a secret lives, never what it is."""

_REDACTED = "‹secret›"


class Secret:
    """A secret's value. `reveal()` is the only way to the text; everything else shows a placeholder."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The text itself; call it at the last moment, at the edge that needs it."""
        return self.__value

    def __repr__(self) -> str:
        return _REDACTED

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.__value.encode(), other.reveal().encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")
