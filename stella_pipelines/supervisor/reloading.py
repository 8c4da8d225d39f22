"""Keeps Dagster's asset graph in step with the store: reloads the code location when the estate or the release names have changed.

Compares with what the web server has loaded, and not with what was seen before, so a change while something was starting is not missed.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import httpx

from assets.catalogue import Catalogue
from assets.specs import REVISION_ENTRY, asset_specs
from stella_pipelines.core.values import Value
from stella_pipelines.supervisor.home import CODE_LOCATION

log = logging.getLogger("stella.reloading")

RELOAD_TIMEOUT_S: Final = 60.0
_LOADED: Final = "{ assetNodes { assetKey { path } metadataEntries { label ... on IntMetadataEntry { intValue } } } }"
_RELOAD: Final = (
    """mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename ... on WorkspaceLocationEntry { loadStatus } } }"""
)


class Graph(Value):
    """Which assets there are, and which estate revision they show."""

    assets: frozenset[str]
    revision: int | None


class Reloading:
    """Remembers only which catalogue was confirmed, so that nobody is asked while nothing changes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._confirmed: Catalogue | None = None

    def keep_in_step(self, catalogue: Catalogue) -> bool:
        """Reload if the loaded graph is not the catalogue's; whether that was necessary. A web server that is away is asked again next time."""
        if catalogue == self._confirmed:
            return False
        wanted = wanted_graph(catalogue)
        try:
            necessary = self._loaded_graph() != wanted
            if necessary:
                self._ask(_RELOAD, {"name": CODE_LOCATION})
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.info("the web server could not be asked, trying again: %s", error)
            return False
        self._confirmed = catalogue
        return necessary

    def _loaded_graph(self) -> Graph:
        nodes = self._ask(_LOADED)["assetNodes"]
        revisions = [entry["intValue"] for node in nodes for entry in node["metadataEntries"] if entry["label"] == REVISION_ENTRY]
        return Graph(assets=frozenset("/".join(node["assetKey"]["path"]) for node in nodes), revision=max(revisions, default=None))

    def _ask(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = httpx.post(f"{self._url}/graphql", json={"query": query, "variables": variables or {}}, timeout=RELOAD_TIMEOUT_S, trust_env=False)
        data: dict[str, Any] = answer.json()["data"]
        return data


def wanted_graph(catalogue: Catalogue) -> Graph:
    """The graph that this catalogue makes."""
    names = frozenset("/".join(spec.key.path) for spec in asset_specs(catalogue))
    return Graph(assets=names, revision=catalogue.revision if catalogue.estate.environments else None)
