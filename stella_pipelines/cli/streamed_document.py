"""One JSON document that is written while its list grows, so that a long history is never held in memory. Only with `--json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping


class StreamedDocument:
    """An object whose list comes first, one item per line, and then the members that are known at the end.

    Whoever begins it ends it, also after an interruption: half a document would be no JSON.
    """

    def __init__(self, list_name: str, *, enabled: bool) -> None:
        self._list_name = list_name
        self._enabled = enabled
        self._written = 0

    def add(self, item: object) -> None:
        """Write the next item of the list."""
        self._write(("," if self._written else self._opening) + "\n" + _json(item))
        self._written += 1

    def end(self, members: Mapping[str, object]) -> None:
        """Write what follows the list, and close the document."""
        self._write("\n]" if self._written else self._opening + "]")
        self._write("".join(f",\n{_json(name)}: {_json(value)}" for name, value in members.items()) + "}\n")
        if self._enabled:
            sys.stdout.flush()

    @property
    def _opening(self) -> str:
        return f"{{{_json(self._list_name)}: ["

    def _write(self, text: str) -> None:
        if self._enabled:
            sys.stdout.write(text)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
