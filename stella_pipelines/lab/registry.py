"""The lab's registry: CNCF Distribution on a loopback address, plain HTTP, its content below the lab's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from stella_pipelines.lab.daemons import Daemon
from stella_pipelines.lab.ports import free_port, listens

PROGRAMS: Final = ("docker-registry", "registry")
"""What Debian calls the program, and what upstream calls it."""


class LabRegistry:
    """One registry process. `stop()` and `start()` again keep its content and its port."""

    def __init__(self, program: str, folder: Path, address: str) -> None:
        self._program, self._folder, self._address = program, folder, address
        self._port = free_port([address], 5000)
        self._daemon: Daemon | None = None

    @property
    def host(self) -> str:
        """`address:port`, as it stands in image references."""
        return f"{self._address}:{self._port}"

    def start(self) -> None:
        """Start the process; `wait()` for it before using it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "config.yml"
        configuration.write_text(json.dumps(self._configuration()))  # JSON is YAML
        self._daemon = Daemon("registry", [self._program, "serve", str(configuration)], self._folder / "registry.log")

    def wait(self) -> None:
        """Return when the registry accepts connections."""
        if self._daemon is not None:
            self._daemon.wait_until(lambda: listens(self._address, self._port))

    def stop(self) -> None:
        """Kill the process: the registry is down."""
        if self._daemon is not None:
            self._daemon.kill()

    def _configuration(self) -> dict[str, object]:
        return {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "content")}, "delete": {"enabled": True}},
            "http": {"addr": self.host},
        }
