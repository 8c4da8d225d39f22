"""The composition root: one place that puts the rooms together for the command line, the Dagster resources and the tests.

It opens the store (migrating it if needed), loads or creates the signing key, and hands each service what it needs. No rules live here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from stella_pipelines.connectors.port import TargetConnector
from stella_pipelines.connectors.selection import connector_for
from stella_pipelines.core.clock import Clock, SystemClock
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import Identifiers, SystemIdentifiers
from stella_pipelines.core.secrets import Secret
from stella_pipelines.core.settings import HOME_VARIABLE, Settings
from stella_pipelines.deployments.history import StoredHistory, in_use, still_running
from stella_pipelines.deployments.service import Deployments
from stella_pipelines.environments.model import Target
from stella_pipelines.environments.service import Environments
from stella_pipelines.evidence.keys import FileKey
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.integrations.registries.port import RegistryPort
from stella_pipelines.integrations.registries.selection import registry_for
from stella_pipelines.integrations.secrets import resolve
from stella_pipelines.promotions.service import Promotions
from stella_pipelines.releases.service import Releases
from stella_pipelines.store.database import Store


class HomeUnusable(StellaError):
    """The installation's home (`STELLA_HOME`) is no folder that can be written."""

    code = "SYS_HOME_UNUSABLE"


@dataclass(frozen=True)
class ControlPlane:
    """Every service of an installation, sharing one store, one clock and one signing key."""

    settings: Settings
    store: Store
    clock: Clock
    identifiers: Identifiers
    evidence: Evidence
    environments: Environments
    releases: Releases
    promotions: Promotions
    deployments: Deployments
    registry: Callable[[str], RegistryPort]
    connector: Callable[[Target], TargetConnector]

    def close(self) -> None:
        """Give back the database connections."""
        self.store.close()

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_control_plane(settings: Settings, environ: Mapping[str, str] | None = None, clock: Clock | None = None) -> ControlPlane:
    """Open the installation that `settings` names; the store is created and migrated if needed."""
    environ = os.environ if environ is None else environ
    clock, identifiers = clock or SystemClock(), SystemIdentifiers()
    ready_home(settings.home)
    store = Store.open(settings.database_url)
    evidence = Evidence(FileKey.load_or_create(settings.signing_key_path))
    environments = Environments(store, clock, identifiers, in_use, still_running)
    releases = Releases(store, clock, identifiers)

    def registry(host: str) -> RegistryPort:
        return registry_for(environments.current()[0].registries, host, environ)

    def login(host: str) -> tuple[str, Secret] | None:
        declared = environments.current()[0].registry(host)
        if declared is None or declared.username is None or declared.password is None:
            return None
        return declared.username, resolve(declared.password, environ)

    def connector(target: Target) -> TargetConnector:
        return connector_for(target, registry, environ, login)

    promotions = Promotions(store, evidence, environments, releases, clock, identifiers, StoredHistory(clock))
    deployments = Deployments(store, evidence, environments, releases, promotions, connector, clock, identifiers)
    return ControlPlane(settings, store, clock, identifiers, evidence, environments, releases, promotions, deployments, registry, connector)


def ready_home(home: Path) -> None:
    """Create the home if needed, and see that it can be written: the signing key and Dagster's files live there."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise HomeUnusable(
            f"The home {home} cannot be used: {error.strerror or error}.",
            next_step=f"Set {HOME_VARIABLE} to a folder that your account can write, or make this one so.",
        ) from error
