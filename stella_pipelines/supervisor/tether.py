"""`python -m stella_pipelines.supervisor.tether PARENT COMMAND…`: become COMMAND, tied to the life of PARENT and open to signals.

Run between fork and exec in a process of its own, because Python code after a fork in a threaded parent may dead-lock. Signals are reset
because a shell that starts something with `&` lets it ignore SIGINT, and Dagster copies that to SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys

from stella_pipelines.jobs.warm.mortality import die_with_parent


def main(arguments: list[str]) -> None:
    """Never returns."""
    parent, *command = arguments
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)
    die_with_parent(int(parent), signal.SIGTERM)
    os.execv(command[0], command)  # noqa: S606  # the command comes from the supervisor; there is no shell


if __name__ == "__main__":
    main(sys.argv[1:])
