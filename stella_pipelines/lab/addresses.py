"""Which addresses, bridges and networks belong to lab number n. Pure: the number is the only input, so labs never collide.

Hosts live on 127.201.n.x: on Linux the whole of 127/8 is loopback without any set-up. Container networks come from 198.18/15, the
range that RFC 2544 keeps for test set-ups, so that they do not shadow a real network of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LABS_MAX: Final = 200
"""Labs side by side on one machine."""
HOSTS_MAX: Final = 4
"""Hosts of one lab: each has a /26 of the lab's /24."""


@dataclass(frozen=True)
class LabAddresses:
    """The addresses of one lab."""

    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < LABS_MAX:
            raise ValueError(f"lab numbers are 0 to {LABS_MAX - 1}, not {self.number}")

    @property
    def registry(self) -> str:
        """Where the registry listens."""
        return f"127.201.{self.number}.1"

    def host(self, index: int) -> str:
        """The address of a host: where its ports are published and its engine or SSH server listens."""
        return f"127.201.{self.number}.{11 + _checked(index)}"

    @property
    def all(self) -> tuple[str, ...]:
        """Every loopback address that the lab uses."""
        return (self.registry, *(self.host(index) for index in range(HOSTS_MAX)))

    def bridge(self, index: int) -> str:
        """The name of a host's bridge; the kernel allows 15 characters."""
        return f"stella{self.number}-{_checked(index)}"

    def bridge_address(self, index: int) -> str:
        """The bridge's own address with the size of the host's container network."""
        return f"198.19.{self.number}.{64 * _checked(index) + 1}/26"

    def extra_networks(self, index: int) -> str:
        """Where the host takes the networks from that somebody creates later."""
        return f"198.18.{self.number}.{64 * _checked(index)}/26"

    @property
    def cgroup(self) -> str:
        """The parent control group of every container in the lab: how strays are recognised."""
        return f"/stella-lab-{self.number}"


def _checked(index: int) -> int:
    if not 0 <= index < HOSTS_MAX:
        raise ValueError(f"a lab has hosts 0 to {HOSTS_MAX - 1}, not {index}")
    return index
