"""Whether `stella up` runs for this home, and the hint for whoever waits for something that only it does.

`stella up` holds a lock on a file in the home for as long as it lives, however it ends; a process id in a file would outlive a crash.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from stella_pipelines.cli.output import Output
from stella_pipelines.core.settings import Settings


def is_up(home: Path) -> bool:
    """Whether somebody holds the lock. Ours is shared and given back at once, so looking does not disturb others who look."""
    try:
        with (home / "up.lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def hint_when_down(output: Output, settings: Settings) -> None:
    """Say that nothing will move, when nobody is there who moves it."""
    if is_up(settings.home):
        return
    elsewhere = "" if settings.database_url.startswith("sqlite:") else ", unless it runs elsewhere for the same database"
    output.hint(f"`stella up` is not running for {settings.home}: nothing will move until it is{elsewhere}.")
