"""The lab as fixtures. A test module says `pytest_plugins = ("tests.support.lab",)` and takes `lab` or `embedded_lab`.

Both live for the whole session, one per xdist worker: labs have numbers, so workers never meet. `clean_lab` is `lab` without any
container, for tests that must not see what others left. A test that plays a fault on the lab repairs it again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from stella_pipelines.lab.choice import engines_problem
from stella_pipelines.lab.claims import LabKind
from stella_pipelines.lab.lab import Lab

INSTALL = "sudo scripts/bootstrap.sh test"


def require_engines() -> None:
    """Real engines, or the reason why not: a failure in CI, a skip with the command that helps on a laptop."""
    problem = engines_problem()
    if problem is None:
        return
    message = f"the engines lab cannot run here: {problem}; install what it needs with `{INSTALL}` and run the tests as root"
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(message)
    pytest.fail(message)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Real engines, a real registry, real SSH servers."""
    require_engines()
    yield from _standing("engines")


@pytest.fixture(scope="session")
def embedded_lab() -> Iterator[Lab]:
    """The lab that needs only Python."""
    yield from _standing("embedded")


@pytest.fixture
def clean_lab(lab: Lab) -> Lab:
    """The engines lab with no container and no fence on any host; images stay."""
    remove_containers(lab)
    return lab


def remove_containers(lab: Lab) -> None:
    """Remove every container of every engine, running or not, and the volumes: a new control plane counts its tokens from one again."""
    for host in lab.hosts.values():
        client = docker.DockerClient(base_url=f"unix://{host.docker_socket}")
        try:
            for container in client.containers.list(all=True, ignore_removed=True):
                container.remove(force=True, v=True)
            for volume in client.volumes.list():
                volume.remove()
        finally:
            client.close()


def _standing(kind: LabKind) -> Iterator[Lab]:
    # Not below pytest's own folder: with a worker's name in it, an engine's socket would not fit into a path.
    with tempfile.TemporaryDirectory(prefix="stella-lab-", dir="/tmp") as folder, Lab(kind, Path(folder) / "lab") as standing:
        yield standing
