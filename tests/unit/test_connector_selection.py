"""Choosing a connector by a target's kind: the same door for built-ins and plugins."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stella_pipelines.connectors.docker.connector import DockerConnector
from stella_pipelines.connectors.process.connector import ProcessConnector
from stella_pipelines.connectors.selection import BUILT_IN, GROUP, ConnectorKindClaimedTwice, ConnectorKindUnknown, chosen, connector_for, loaded
from stella_pipelines.environments.model import DockerAccess, ProcessAccess, Target
from stella_pipelines.integrations.registries.port import RegistryPort


def no_registry(host: str) -> RegistryPort:
    raise AssertionError(f"nobody needs {host} to choose a connector")


def test_each_kind_of_target_gets_its_connector() -> None:
    docker = Target(name="one", environment="dev", kind="docker", docker=DockerAccess(endpoint="unix:///run/docker.sock"))
    process = Target(name="two", environment="dev", kind="process", process=ProcessAccess(directory="/nowhere"))
    assert isinstance(connector_for(docker, no_registry, {}), DockerConnector)
    assert isinstance(connector_for(process, no_registry, {}), ProcessConnector)


def test_the_built_in_table_says_what_pyproject_says() -> None:
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    assert {one.name: one.value for one in BUILT_IN} == declared


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConnectorKindUnknown, match="nomad"):
        chosen("nomad", BUILT_IN)


def test_a_kind_claimed_twice_is_used_by_neither() -> None:
    with pytest.raises(ConnectorKindClaimedTwice, match="evil"):
        chosen("docker", [*BUILT_IN, EntryPoint("docker", "evil:Connector", GROUP)])


def test_the_same_declaration_seen_twice_is_one() -> None:
    assert chosen("docker", [*BUILT_IN, *BUILT_IN]) == BUILT_IN[0]


@pytest.mark.parametrize("value", ["no.such.module:Connector", "stella_pipelines.connectors.port:NoSuchClass"])
def test_a_broken_plugin_is_reported(value: str) -> None:
    with pytest.raises(ConnectorKindUnknown, match="cannot be loaded"):
        loaded(EntryPoint("broken", value, GROUP))
