"""Why a file that a person named cannot be read, in words that do not repeat its name."""

from __future__ import annotations


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """`No such file or directory`, without the number and the path that Python writes around it."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return error.strerror or type(error).__name__
