"""The composition root: one place that puts the rooms together for the command line, the Dagster resources and the tests.

It opens the store (migrating it if needed), loads or creates the signing key, and hands each service what it needs. No rules live here.
Whoever only works with an installation says `create=False`: in the wrong folder there must be a refusal, and not a second, empty installation.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from stella_pipelines.connectors.port import TargetConnector
from stella_pipelines.connectors.selection import connector_for
from stella_pipelines.core.clock import Clock, SystemClock
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import Identifiers, SystemIdentifiers
from stella_pipelines.core.secrets import Secret
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, Settings
from stella_pipelines.deployments.history import StoredHistory, in_use, still_running
from stella_pipelines.deployments.service import Deployments
from stella_pipelines.environments.model import Target
from stella_pipelines.environments.service import Environments
from stella_pipelines.evidence.every_table import RIGHTS
from stella_pipelines.evidence.exports.service import Exports
from stella_pipelines.evidence.imports.service import Imports
from stella_pipelines.evidence.keys.service import Keys
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.retention.service import Retention
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.integrations.registries.port import RegistryPort
from stella_pipelines.integrations.registries.selection import registry_for
from stella_pipelines.integrations.secrets import resolve
from stella_pipelines.integrations.signing.selection import installed_key
from stella_pipelines.promotions.service import Promotions
from stella_pipelines.releases.service import Releases
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import DatabaseOlder
from stella_pipelines.store.limits import OUTAGE_PATIENCE_S
from stella_pipelines.store.owner import migrate_as_owner
from stella_pipelines.store.presence import is_there


class HomeUnusable(StellaError):
    """The installation's home (`STELLA_HOME`) is no folder that can be written."""

    code = "SYS_HOME_UNUSABLE"


class NoInstallation(StellaError):
    """There is no installation in the home (`STELLA_HOME`), or no tables of ours in its database, and the command does not begin one."""

    code = "SYS_NO_INSTALLATION"


@dataclass(frozen=True)
class ControlPlane:
    """Every service of an installation, sharing one store, one clock and one signing key."""

    settings: Settings
    store: Store
    clock: Clock
    identifiers: Identifiers
    evidence: Evidence
    log: Log
    keys: Keys
    retention: Retention
    exports: Exports
    imports: Imports
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


def open_control_plane(settings: Settings, environ: Mapping[str, str] | None = None, clock: Clock | None = None, *, create: bool = True) -> ControlPlane:
    """Open the installation that `settings` names; its store is migrated if needed, and created unless `create` forbids it."""
    environ = os.environ if environ is None else environ
    clock, identifiers = clock or SystemClock(), SystemIdentifiers()
    if create:
        ready_home(settings.home)
    else:
        _require_installation(settings)
    store = open_store(settings)
    signer = installed_key(settings, environ, ready_home, create=create)
    evidence, log = Evidence(signer), Log(store, signer, clock)
    keys = Keys(store, signer, log, clock)
    days, owner_store = settings.evidence_retention_days, functools.partial(_owner_store, settings, store)
    retention = Retention(store, evidence, log, clock, identifiers, retention_days=days, owner_store=owner_store)
    exports, imports = Exports(store, evidence, log, signer, clock, identifiers), Imports(store, clock, identifiers)
    environments = Environments(store, clock, identifiers, in_use, still_running)
    releases = Releases(store, evidence, clock, identifiers)

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
    return ControlPlane(
        settings,
        store,
        clock,
        identifiers,
        evidence,
        log,
        keys,
        retention,
        exports,
        imports,
        environments,
        releases,
        promotions,
        deployments,
        registry,
        connector,
    )


def open_store(settings: Settings, *, patience_s: float = OUTAGE_PATIENCE_S) -> Store:
    """The store, migrated if needed; by the owner of the tables, where that is another role."""
    if settings.database_owner_url is None:
        return Store.open(settings.database_url, patience_s=patience_s)
    try:
        return Store.open(settings.database_url, migrate=False, patience_s=patience_s)
    except DatabaseOlder:
        migrate_as_owner(settings.database_owner_url, settings.database_url, RIGHTS)
        return Store.open(settings.database_url, migrate=False, patience_s=patience_s)


@contextlib.contextmanager
def _owner_store(settings: Settings, store: Store) -> Iterator[Store]:
    """The store as the owner of its tables; the application's own one, where no other role is named."""
    if settings.database_owner_url is None:
        yield store
        return
    with contextlib.closing(Store.open(settings.database_owner_url, migrate=False)) as owners:
        yield owners


def _require_installation(settings: Settings) -> None:
    """A database elsewhere needs no home: it is made when the first thing is put into it."""
    with _usable(settings.home), contextlib.suppress(FileNotFoundError):
        settings.home.stat()
        ready_home(settings.home)
    if is_there(settings.database_url):
        return
    own = settings.database_url == Settings.from_environ({HOME_VARIABLE: str(settings.home)}).database_url
    where = "" if own else f": the database that {DATABASE_VARIABLE} names has no tables of Stella"
    raise NoInstallation(
        f"There is no installation in {settings.home}{where}.",
        next_step=f"'stella apply -f estate.yaml' makes one, or set {HOME_VARIABLE} to the one you mean.",
    )


def ready_home(home: Path) -> None:
    """Create the home if needed, and see that it can be written: the signing key and Dagster's files live there."""
    with _usable(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass


@contextlib.contextmanager
def _usable(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HomeUnusable(
            f"The home {home} cannot be used: {error.strerror or error}.",
            next_step=f"Set {HOME_VARIABLE} to a folder that your account can write, or make this one so.",
        ) from error
