"""`python -m stella_pipelines.lab sweep` removes labs whose owner died; `up` stands one up until Ctrl-C, to look at it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from stella_pipelines.core.errors import StellaError
from stella_pipelines.lab.lab import Lab, choose_lab
from stella_pipelines.lab.removal import sweep


def main(words: list[str]) -> int:
    """Run one command; 0 when it worked, 1 with a message otherwise."""
    parser = argparse.ArgumentParser(prog="python -m stella_pipelines.lab", description=__doc__)
    parser.add_argument("command", choices=["sweep", "up"])
    command = parser.parse_args(words).command
    try:
        _sweep() if command == "sweep" else _up()
    except StellaError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _sweep() -> None:
    swept = sweep()
    for record in swept:
        print(f"removed lab {record.number} ({record.kind}, process {record.owner_pid}) at {record.folder}")
    print(f"{len(swept)} orphaned labs removed")


def _up() -> None:
    kind, reason = choose_lab(os.environ)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stella-lab-") as folder, Lab(kind, Path(folder) / "lab") as lab:
        print(f"{kind} lab ({reason})\n{lab.describe()}\nestate: {lab.estate_path}\nup in {time.monotonic() - started:.1f} s; Ctrl-C removes it", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("removing the lab")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
