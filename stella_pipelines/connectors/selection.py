"""From a target's kind to its connector, through the entry-point group `stella.connectors`. Two claims on one kind are an error."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final, cast

from stella_pipelines.connectors.kinds import ConnectorKind, PullLogins, Registries, Surroundings, anonymous
from stella_pipelines.connectors.port import ConnectorError, TargetConnector
from stella_pipelines.environments.model import Target

GROUP: Final = "stella.connectors"
BUILT_IN: Final = (
    EntryPoint("docker", "stella_pipelines.connectors.docker.connector:DockerConnector", GROUP),
    EntryPoint("process", "stella_pipelines.connectors.process.connector:ProcessConnector", GROUP),
)
"""The same declarations as in pyproject.toml (a test keeps them equal), for a plain checkout in which nothing is installed."""


class ConnectorKindUnknown(ConnectorError):
    """No installed plugin offers a connector for this kind of target, or the plugin that does cannot be loaded."""

    code = "DEPLOY_CONNECTOR_UNKNOWN"


class ConnectorKindClaimedTwice(ConnectorError):
    """Two plugins offer a connector for the same kind of target. Neither is used."""

    code = "DEPLOY_CONNECTOR_CLAIMED_TWICE"


def connector_for(target: Target, registries: Registries, environ: Mapping[str, str], logins: PullLogins = anonymous) -> TargetConnector:
    """A connector for the target, not open yet."""
    kind = loaded(chosen(target.kind, declarations()))
    return kind.for_target(target, Surroundings(registries, environ, logins))


@functools.cache
def declarations() -> tuple[EntryPoint, ...]:
    """What is built in, and what is installed. Looked for once per process: it takes as long as a look at a target, and there are thousands."""
    return (*BUILT_IN, *entry_points(group=GROUP))


def chosen(kind: str, declared: Iterable[EntryPoint]) -> EntryPoint:
    """The one declaration for `kind`. Pure."""
    places = {one.value: one for one in declared if one.name == kind}
    if not places:
        raise ConnectorKindUnknown(
            f"Nothing here can drive a target of kind {kind!r}.", next_step=f"Install a plugin with an entry point {kind!r} in the group {GROUP}."
        )
    if len(places) > 1:
        raise ConnectorKindClaimedTwice(
            f"The kind {kind!r} is claimed by {' and '.join(sorted(places))}.", next_step="Uninstall one of the two packages, or rename its kind."
        )
    return next(iter(places.values()))


def loaded(declaration: EntryPoint) -> ConnectorKind:
    """The class behind a declaration. A plugin that cannot be imported is reported, and takes nothing else down."""
    try:
        return cast("ConnectorKind", declaration.load())
    except Exception as error:  # a plugin's import may raise anything; it becomes a typed error that names the plugin
        raise ConnectorKindUnknown(
            f"The connector {declaration.value} cannot be loaded: {type(error).__name__}: {error}.", next_step="Repair or uninstall that package."
        ) from error
