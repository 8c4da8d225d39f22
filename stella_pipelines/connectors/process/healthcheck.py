"""The image's own HEALTHCHECK, run once on this machine. An engine remembers how often it failed in a row; here the start window stands for that."""

from __future__ import annotations

import subprocess
from typing import Final

from stella_pipelines.connectors.port import Health
from stella_pipelines.connectors.process.images import Healthcheck
from stella_pipelines.connectors.process.processes import Command

_SECOND_NS: Final = 1_000_000_000
TIMEOUT_S: Final = 30.0
INTERVAL_S: Final = 30.0
RETRIES: Final = 3
"""What engines use when the image does not say."""


def look(command: Command, settings: Healthcheck, running_for_s: float) -> Health:
    """Run the check. A failure within the time that an engine would still be retrying is `STARTING`."""
    if _passes(command, settings.timeout_ns / _SECOND_NS or TIMEOUT_S):
        return Health.HEALTHY
    return Health.STARTING if running_for_s < start_window_s(settings) else Health.UNHEALTHY


def start_window_s(settings: Healthcheck) -> float:
    """How long an engine waits at least before it calls a container unhealthy. Pure."""
    interval_s = settings.interval_ns / _SECOND_NS or INTERVAL_S
    return settings.start_period_ns / _SECOND_NS + interval_s * (settings.retries or RETRIES)


def _passes(command: Command, timeout_s: float) -> bool:
    try:
        done = subprocess.run(
            command.argv,
            executable=command.file,
            env=command.environment,
            cwd=command.working_directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=min(timeout_s, TIMEOUT_S),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
