"""From the estate's declaration of a registry to the adapter that speaks to it. A host that is not declared is not spoken to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from stella_pipelines.core.errors import StellaError
from stella_pipelines.integrations.registries.authorization import Credentials
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.endpoints import RegistryMisconfigured
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.port import RegistryPort
from stella_pipelines.integrations.secrets import resolve


class RegistryUnknown(StellaError):
    """An image lives in a registry that the estate does not declare."""

    code = "INT_REGISTRY_UNKNOWN"


class RegistryDeclaration(Protocol):
    """What the estate says about a registry. The estate's own value fits; it lives on a higher floor."""

    @property
    def host(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    @property
    def plain_http(self) -> bool: ...
    @property
    def ca_file(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...


def registry_for(registries: Sequence[RegistryDeclaration], host: str, environ: Mapping[str, str]) -> RegistryPort:
    """The registry at `host`. Nothing is connected to yet."""
    declared = next((registry for registry in registries if registry.host == host), None)
    if declared is None:
        raise RegistryUnknown(f"The registry {host} is not declared.", next_step="Add it under 'registries' in the estate file and apply it.")
    if declared.kind == "layout":
        return _layout(declared)
    if declared.kind == "distribution":
        return _distribution(declared, environ)
    raise RegistryMisconfigured(f"The registry {host} has the unknown kind {declared.kind!r}.", next_step="Write 'distribution' or 'layout'.")


def _layout(declared: RegistryDeclaration) -> LayoutRegistry:
    if declared.path is None:
        raise RegistryMisconfigured(f"The registry {declared.host} is a layout without a folder.", next_step="Give its folder as 'path'.")
    return LayoutRegistry(Path(declared.path))


def _distribution(declared: RegistryDeclaration, environ: Mapping[str, str]) -> DistributionRegistry:
    if (declared.username is None) != (declared.password is None):
        raise RegistryMisconfigured(f"The registry {declared.host} has a user name or a password, not both.", next_step="Give both, or none.")
    credentials = None
    if declared.username is not None and declared.password is not None:
        credentials = Credentials(declared.username, resolve(declared.password, environ))
    ca_file = Path(declared.ca_file) if declared.ca_file is not None else None
    return DistributionRegistry(declared.host, plain_http=declared.plain_http, ca_file=ca_file, credentials=credentials)
