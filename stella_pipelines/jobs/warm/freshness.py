"""When the runner must not start runs from the code that it has, and when it should become a new program. It does neither itself.

Code that could not be imported is tried again when a file changes, and now and then, because not everything that is missing is a file.
"""

from __future__ import annotations

from typing import Final

from stella_pipelines.jobs.warm.renewal import outgrown
from stella_pipelines.jobs.warm.staleness import ImportedCode

LOOK_EVERY_S: Final = 10.0
RETRY_AFTER_S: Final = 30.0


class Freshness:
    """`refusal` says why nothing can be started for now; None when it can."""

    def __init__(self, code: ImportedCode, refusal: str | None, resident_bytes_at_start: int, now_s: float) -> None:
        self._code = code
        self._resident_bytes_at_start = resident_bytes_at_start
        self._retry_at_s = now_s + RETRY_AFTER_S
        self._look_at_s = now_s
        self._was_stale = False
        self.refusal = refusal

    def why_renew(self, now_s: float) -> str | None:
        """Asked before each fork."""
        changed = self._code.changed()
        if changed is not None:
            return f"{changed} has changed"
        return "the code may be importable by now" if self.refusal is not None and now_s >= self._retry_at_s else None

    def why_renew_unasked(self, now_s: float, forks: int, resident_bytes: int) -> str | None:
        """Asked all the time. Files that change have to be the same story at two looks: whoever writes them may not be done."""
        if now_s < self._look_at_s:
            return None
        self._look_at_s = now_s + LOOK_EVERY_S
        why, was_stale = self.why_renew(now_s), self._was_stale
        self._was_stale = why is not None
        if why is not None:
            return why if was_stale else None
        return outgrown(forks, resident_bytes, self._resident_bytes_at_start)

    def refuse(self, reason: str, began_ns: int, now_s: float) -> None:
        """The new code is no good, as was found by looking since `began_ns`: start nothing, and wait for the next change."""
        self.refusal = reason
        self._retry_at_s = now_s + RETRY_AFTER_S
        self._code.note(began_ns)
