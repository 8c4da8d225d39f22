"""`stella up` in a thread of the test, its processes by name, and waiting for what they do."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stella_pipelines.core.settings import Settings
from stella_pipelines.supervisor.supervisor import run

UP_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 20.0


@contextmanager
def up(settings: Settings) -> Iterator[str]:
    """The installation in a thread of its own; yields the UI's address, and checks that it stops in time with nothing left."""
    stop, ready, address, failure = threading.Event(), threading.Event(), [""], [None]

    def on_ready(url: str) -> None:
        address[0] = url
        ready.set()

    def serve() -> None:
        try:
            run(settings, "127.0.0.1", 0, on_ready, stop)
        except BaseException as error:  # noqa: BLE001  # handed to the test's own thread, which raises it
            failure[0] = error  # type: ignore[call-overload]  # the list starts with None
        finally:
            ready.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(UP_TIMEOUT_S)
        if failure[0] is not None:
            raise failure[0]
        yield address[0]
    finally:
        began = time.monotonic()
        stop.set()
        thread.join(STOP_TIMEOUT_S)
        assert not thread.is_alive(), f"still stopping after {time.monotonic() - began:.0f} s"
    assert left_of(settings.home) == {}


def left_of(home: Path) -> dict[int, str]:
    """Processes that belong to the installation: its home is in their environment."""
    wanted = f"DAGSTER_HOME={home / 'dagster'}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended while we looked
    return found


def process(home: Path, pattern: str) -> int:
    """The process of the installation whose command line matches; not its children, which may look the same."""
    matching = {pid for pid, command in left_of(home).items() if re.search(pattern, command)}
    (found,) = [pid for pid in matching if _parent(pid) not in matching]
    return found


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
