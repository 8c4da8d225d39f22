"""What a kind of connector is, and what it is given when it is opened: the public door through which built-ins and plugins come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stella_pipelines.connectors.port import TargetConnector
from stella_pipelines.core.secrets import Secret
from stella_pipelines.environments.model import Target
from stella_pipelines.integrations.registries.port import RegistryPort

Registries = Callable[[str], RegistryPort]
"""The registry behind a host, for targets that pull through the control plane."""
PullLogins = Callable[[str], tuple[str, Secret] | None]
"""User and password with which a target's own engine pulls from a registry host; None is an anonymous pull."""


def anonymous(host: str) -> tuple[str, Secret] | None:  # noqa: ARG001 - the answer is the same for every host
    """No login for any registry."""
    return None


@dataclass(frozen=True)
class Surroundings:
    """Everything outside the target that a connector may use. `environ` is where secret references are looked up; it is never printed."""

    registries: Registries
    environ: Mapping[str, str] = field(repr=False)
    logins: PullLogins = anonymous


class ConnectorKind(Protocol):
    """A class that an entry point of the group `stella.connectors` names; the entry point's name is the target's `kind`."""

    @classmethod
    def for_target(cls, target: Target, surroundings: Surroundings) -> TargetConnector:
        """A connector for the target, not open yet."""
        ...
