"""The one error tree. A leaf class is one stable code; `docs/errors.md` lists them all, and a test keeps it complete.

An error speaks to a person at 3 a.m.: what happened, what is unchanged, what to do next.
"""

from __future__ import annotations

from typing import ClassVar

from stella_pipelines.core.words import as_words


class StellaError(Exception):
    """Base of every error that the product raises on purpose.

    `code` is stable and documented; its prefix names the theme (AUTH_ PERM_ VAL_ RES_ ENV_ REL_ PROM_ DEPLOY_ GATE_ INT_ EVID_ SYS_).
    `retryable` says that the same call may succeed later without any change by a person.
    The words may quote engines, images and files: they are mended here, because every error can end up in the store.
    """

    code: ClassVar[str] = ""
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, next_step: str, unchanged: str = "Nothing was changed.") -> None:
        self.what = as_words(what)
        self.unchanged = as_words(unchanged)
        self.next_step = as_words(next_step)
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.code}: {self.what} {self.unchanged} {self.next_step}"

    def document(self) -> dict[str, str | bool]:
        """The error as JSON-able data, for `--json` output and stored failure reasons."""
        return {
            "code": self.code,
            "what": self.what,
            "unchanged": self.unchanged,
            "next_step": self.next_step,
            "retryable": self.retryable,
        }


def all_error_classes() -> list[type[StellaError]]:
    """Every leaf of the tree that is imported now, by code."""
    found: dict[str, type[StellaError]] = {}
    pending: list[type[StellaError]] = [StellaError]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls.code:
            other = found.get(cls.code)
            if other is not None and other.__qualname__ != cls.__qualname__:
                raise AssertionError(f"{cls.code} is claimed by {other.__qualname__} and {cls.__qualname__}")
            found[cls.code] = cls
    return [found[code] for code in sorted(found)]
