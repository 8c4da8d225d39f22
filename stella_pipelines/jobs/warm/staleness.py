"""Whether the files of the modules that this process has imported have changed since: ours, plugins', Dagster's, everybody's.

One stat per file, no reading: 2,000 files cost a few milliseconds. A module that was not imported cannot be stale.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

Signature = tuple[int, int, int] | None
"""Of a file: when it was modified, its size, its inode; None when there is none."""
_UNKNOWN: Signature = (-1, -1, -1)


class ImportedCode:
    """The files as they were when they were imported."""

    def __init__(self) -> None:
        self._seen: dict[str, Signature] = {}

    def note(self, began_ns: int, also: Iterable[str] = ()) -> None:
        """Remember the files of all modules, and of what was found on the way to a module that could not be imported.

        `began_ns` is a moment before the first import. A file that changed since may have been imported as it was before, so it counts as changed.
        """
        now_ns = time.time_ns()
        for path in (*imported_files(), *also):
            found = _stat(path)
            changed_meanwhile = found is not None and began_ns < found.st_ctime_ns <= now_ns
            self._seen[path] = _UNKNOWN if changed_meanwhile else _signature(found)

    def changed(self) -> str | None:
        """A file that is not what it was; None when everything is."""
        return next((path for path, seen in self._seen.items() if _signature(_stat(path)) != seen), None)


def imported_files() -> set[str]:
    """The file of every module that has one."""
    return {path for module in list(sys.modules.values()) if isinstance(path := getattr(module, "__file__", None), str)}


def files_of(error: BaseException) -> set[str]:
    """The files on the way to an error of an import, and their folders, where a missing module would appear."""
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")}
    if isinstance(error, SyntaxError) and error.filename:
        files.add(error.filename)
    return files | {str(Path(path).parent) for path in files}


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _signature(found: os.stat_result | None) -> Signature:
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
