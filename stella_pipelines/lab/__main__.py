"""`python -m stella_pipelines.lab sweep` removes labs whose owner died; `up` stands one up until Ctrl-C, to try commands on."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stella_pipelines.core.errors import StellaError
from stella_pipelines.lab.lab import Lab, choose_lab
from stella_pipelines.lab.removal import sweep


def main(words: list[str]) -> int:
    """Run one command; 0 when it worked, 1 with a message otherwise."""
    parser = argparse.ArgumentParser(prog="python -m stella_pipelines.lab", description=__doc__)
    parser.add_argument("command", choices=["sweep", "up"])
    parser.add_argument("--folder", type=Path, help="where `up` puts the lab: a folder that does not exist yet, and that is removed in the end")
    given = parser.parse_args(words)
    try:
        _sweep() if given.command == "sweep" else _up(given.folder)
    except StellaError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _sweep() -> None:
    swept = sweep()
    for record in swept:
        print(f"removed lab {record.number} ({record.kind}, process {record.owner_pid}) at {record.folder}")
    print(f"{len(swept)} orphaned labs removed")


def _up(folder: Path | None) -> None:
    kind, reason = choose_lab(os.environ)
    started = time.monotonic()
    with _place(folder) as place, Lab(kind, place) as lab:
        images = "\n".join(f"image:  {lab.images[name]}" for name in sorted(lab.images))
        print(f"{kind} lab ({reason})\n{lab.describe()}\nestate: {lab.estate_path}\n{images}")
        print(f"up in {time.monotonic() - started:.1f} s; Ctrl-C removes it", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("removing the lab")


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """The folder that was asked for, or a temporary one."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="stella-lab-") as temporary:
        yield Path(temporary) / "lab"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
