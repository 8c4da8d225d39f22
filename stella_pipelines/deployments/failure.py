"""A failure as it is recorded: a `StellaError` turned into a value that is stored, shown and sealed."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import Words


class Failure(Value):
    """What happened, what is unchanged, what to do next. `target` is set when it happened on one."""

    code: str
    what: Words
    unchanged: Words
    next_step: Words
    retryable: bool = False
    target: str | None = None

    @classmethod
    def of(cls, error: StellaError, target: str | None = None) -> Failure:
        """The record of an error."""
        return cls(code=error.code, what=error.what, unchanged=error.unchanged, next_step=error.next_step, retryable=error.retryable, target=target)
