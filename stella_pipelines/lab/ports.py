"""Free ports on loopback addresses, and whether something listens. A usual port is taken when it is free, since people remember it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import closing

from stella_pipelines.lab.errors import LabUnsupported


def free_port(addresses: Iterable[str], usual: int, tries: int = 200) -> int:
    """The first port from `usual` on that is free on every address. Somebody who listens on 0.0.0.0 has it everywhere."""
    wanted = tuple(addresses)
    for port in range(usual, usual + tries):
        if all(_can_bind(address, port) for address in wanted):
            return port
    raise LabUnsupported(f"No port from {usual} to {usual + tries - 1} is free on {', '.join(wanted)}.", next_step="Stop what listens there.")


def listens(address: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((address, port)) == 0


def _can_bind(address: str, port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for those who listen
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
