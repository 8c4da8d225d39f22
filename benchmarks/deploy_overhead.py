"""`deploy_overhead`: from `stella promote` to the container serving, against `docker pull` + `docker run` by hand on the same engine.

Both start from an engine without the image, and end with the first HTTP answer. By hand nothing is decided, proven or sealed, so the ratio is the price
of the control plane. `control_plane_share` is the part of our time that is not in the time by hand.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.row import Row
from stella_pipelines.cli.app import run
from stella_pipelines.cli.demo_background import background_installation
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.session import Session
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, Settings
from stella_pipelines.lab.hosts import LabHost
from stella_pipelines.lab.lab import Lab
from stella_pipelines.lab.webapp.pages import PORT_INSIDE

ROUNDS: Final = 5
SERVES_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.005


def deploy_overhead() -> list[Row]:
    """Medians of five rounds each, taken in turn so that both see the same machine."""
    with _installation() as lab:
        host = next(host for host in lab.hosts.values() if host.environment == "dev")
        image = f"{lab.images['v1'].repository}@{lab.platform_image('v1').digest}"
        rounds = [(_by_hand(host, image), _by_stella(host)) for _ in range(ROUNDS)]
    by_hand, ours = (statistics.median(times) for times in zip(*rounds, strict=True))
    return [
        Row("deploy_overhead", ours, "s", "docker pull + run by hand", by_hand),
        Row("control_plane_share", (ours - by_hand) / ours, "of the time", "all of it", 1.0),
    ]


@contextmanager
def _installation() -> Iterator[Lab]:
    """A lab and a running installation with one release, and the environment variables that name it."""
    with tempfile.TemporaryDirectory(prefix="stella-bench-") as folder, Lab("engines", Path(folder) / "lab") as lab:
        os.environ[HOME_VARIABLE] = str(Path(folder) / "home")
        os.environ.pop(DATABASE_VARIABLE, None)
        _stella(f"apply -f {lab.estate_path}")
        _stella(f"release create shop 1.0.0 web={lab.images['v1']} --commit 5e1f0c3")
        with background_installation(0):
            yield lab


def _by_stella(host: LabHost) -> float:
    started = time.perf_counter()
    _stella("promote shop-1.0.0 --to dev --no-wait")
    _until_it_serves(host)
    elapsed_s = time.perf_counter() - started
    with open_control_plane(Settings.from_environ(os.environ)) as plane:
        while plane.promotions.live("dev") is not None:
            time.sleep(0.1)
    _clean(host)
    return elapsed_s


def _by_hand(host: LabHost, image: str) -> float:
    started = time.perf_counter()
    _docker(host, "pull", "--quiet", image)
    _docker(host, "run", "--detach", "--publish", f"{host.address}:{host.port}:{PORT_INSIDE}", image)
    _until_it_serves(host)
    elapsed_s = time.perf_counter() - started
    _clean(host)
    return elapsed_s


def _until_it_serves(host: LabHost) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + SERVES_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with opener.open(host.url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(POLL_S)
    raise TimeoutError(f"{host.url} did not serve within {SERVES_TIMEOUT_S} s")


def _clean(host: LabHost) -> None:
    """Back to an engine that has neither container nor image."""
    containers = _docker(host, "ps", "--all", "--quiet").split()
    if containers:
        _docker(host, "rm", "--force", *containers)
    images = _docker(host, "images", "--all", "--quiet").split()
    if images:
        _docker(host, "rmi", "--force", *set(images))


def _docker(host: LabHost, *words: str) -> str:
    return subprocess.run(["docker", "--host", f"unix://{host.docker_socket}", *words], check=True, capture_output=True, text=True).stdout


def _stella(line: str) -> None:
    code = run([*line.split(), "--as", "bench"], Session(output=Output(console=Console(quiet=True))))
    if code is not Exit.DONE:
        raise RuntimeError(f"stella {line}: {code.name}")
