"""The files below an installation's home that Dagster wants, and the environment of its processes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import stella_pipelines
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, OWNER_VARIABLE, Settings
from stella_pipelines.supervisor.configuration import for_database
from stella_pipelines.supervisor.errors import DagsterConfigurationMissing

CODE_LOCATION: Final = "stella"
SOCKET_PATH_BYTES_MAX: Final = 100
"""The kernel takes 107; `.lock` and the like want a few."""
_PACKAGE: Final = Path(stella_pipelines.__file__).parent


@dataclass(frozen=True)
class DagsterHome:
    """Where the instance lives, where logs go, and the two sockets. Sockets and not ports: whoever reaches them may run code."""

    folder: Path
    logs: Path
    code_socket: Path
    runner_socket: Path

    @property
    def workspace(self) -> Path:
        """The workspace that names our one code server."""
        return self.folder / "workspace.yaml"


@contextmanager
def dagster_home(settings: Settings) -> Iterator[DagsterHome]:
    """Write `<home>/dagster`; the folder stays, the sockets go."""
    folder, logs = settings.home / "dagster", settings.home / "logs"
    for path in (settings.home, folder, logs):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (folder, logs):
        path.chmod(0o700)  # also folders that were there before; the home itself is as open as its owner wants it
    with _socket_folder(settings.home) as sockets:
        home = DagsterHome(folder, logs, sockets / "code.sock", sockets / "runner.sock")
        (folder / "dagster.yaml").write_text(instance_configuration(settings))
        home.workspace.write_text(_workspace(home.code_socket))
        yield home


def instance_configuration(settings: Settings) -> str:
    """The operator's `<home>/dagster.yaml` as it is, if there is one; else the embedded default for this database."""
    own = settings.home / "dagster.yaml"
    return own.read_text() if own.is_file() else for_database(_embedded().read_text(), settings.database_url, settings.home / "dagster")


def _embedded() -> Path:
    """Beside the jobs in a wheel, at the top of a checkout."""
    candidates = (_PACKAGE / "jobs" / "dagster.yaml", _PACKAGE.parent / "dagster.yaml")
    for path in candidates:
        if path.is_file():
            return path
    raise DagsterConfigurationMissing(f"There is no dagster.yaml at {' or '.join(map(str, candidates))}.", next_step="Install the package again.")


def process_environment(settings: Settings, home: DagsterHome, environ: Mapping[str, str]) -> dict[str, str]:
    """What every process of the installation sees. The package is put on the path, so that the working directory does not matter.

    Not the address of the database's owner: the tables are those of this version by now, and who runs jobs must not be able to change evidence.
    """
    path = os.pathsep.join(filter(None, (str(_PACKAGE.parent), environ.get("PYTHONPATH"))))
    return {
        **{name: value for name, value in environ.items() if name != OWNER_VARIABLE},
        HOME_VARIABLE: str(settings.home),
        DATABASE_VARIABLE: settings.database_url,
        "DAGSTER_HOME": str(home.folder),
        "STELLA_RUNNER_SOCKET": str(home.runner_socket),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
    }


def _workspace(socket: Path) -> str:
    server = {"host": "localhost", "socket": str(socket), "location_name": CODE_LOCATION}
    return json.dumps({"load_from": [{"grpc_server": server}]}, indent=2) + "\n"  # JSON is YAML


@contextmanager
def _socket_folder(home: Path) -> Iterator[Path]:
    """`<home>/run`, or a private folder under the system's temporary one when the home's path is too long for a socket."""
    inside = home / "run"
    if len(os.fsencode(inside)) + len("/runner.sock") <= SOCKET_PATH_BYTES_MAX:
        inside.mkdir(mode=0o700, exist_ok=True)
        yield inside
        shutil.rmtree(inside, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory(prefix="stella-run-") as folder:
        yield Path(folder)
