"""One process that carries a promotion's deployment out, to be killed by tests: `python deploying_process.py HOME PROMOTION`. Tells every event on a line."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.deployments.model import Progress


def tell(progress: Progress) -> None:
    """One line, at once."""
    print(f"{progress.target} {progress.step} {progress.event}", flush=True)


def main(home: Path, promotion_id: str) -> None:
    """Run or resume."""
    with open_control_plane(Settings(home=home, database_url=f"sqlite:///{home / 'stella.db'}")) as plane:
        asyncio.run(plane.deployments.run(promotion_id, f"process/{os.getpid()}", tell, gone=is_dead))


def is_dead(holder: str) -> bool:
    """Whether the process that held the leases is there no more."""
    return not Path("/proc", holder.removeprefix("process/")).exists()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
