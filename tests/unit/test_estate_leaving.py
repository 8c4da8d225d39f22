"""What leaves an estate: what it no longer has, and what it has in another place. How somebody logs in there is not the place."""

import pytest

from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.environments.leaving import Leaving, Moved, what_leaves
from stella_pipelines.environments.model import Estate

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
BEFORE = f"""
environments: {{dev: {{gates: none}}, prod: {{gates: none}}}}
targets:
  folder: {{environment: dev, process: {{directory: /d}}}}
  socket: {{environment: dev, docker: {{endpoint: unix:///run/a.sock}}}}
  tcp:
    environment: prod
    docker:
      endpoint: tcp://prod.example:2376
      tls: {{ca_file: /ca.pem, certificate_file: /c.pem, key: env://TLS_KEY}}
  ssh:
    environment: prod
    docker:
      endpoint: unix:///var/run/docker.sock
      ssh: {{host: prod.example, port: 22, username: deploy, host_key: {KEY}, private_key: env://SSH_KEY}}
"""


def estate(old: str = "", new: str = "") -> Estate:
    assert old in BEFORE
    return parse_estate(BEFORE.replace(old, new) if old else BEFORE, "estate.yaml")


@pytest.mark.parametrize(
    ("target", "old", "new"),
    [
        ("folder", "directory: /d", "directory: /e"),
        ("folder", "process: {directory: /d}", "docker: {endpoint: unix:///run/b.sock}"),
        ("socket", "/run/a.sock", "/run/b.sock"),
        ("tcp", "prod.example:2376", "prod.example:2377"),
        ("tcp", "tcp://prod.example", "tcp://other.example"),
        ("ssh", "host: prod.example", "host: other.example"),
        ("ssh", "port: 22", "port: 2222"),
        ("ssh", "unix:///var/run/docker.sock", "unix:///run/docker.sock"),
    ],
)
def test_another_place_is_leaving(target: str, old: str, new: str) -> None:
    leaving = what_leaves(estate(), estate(old, new))
    assert leaving.targets == {target}
    assert leaving.subjects == {f"target/{target}"}
    assert list(leaving.moved) == [target]
    assert leaving.moved[target].origin != leaving.moved[target].to


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("username: deploy", "username: root"),
        ("env://SSH_KEY", "env://OTHER"),
        ("OMqqnk", "OMqqnl"),
        ("/ca.pem", "/ca2.pem"),
        ("/c.pem", "/c2.pem"),
        ("env://TLS_KEY", "env://OTHER"),
        ("directory: /d}", "directory: /d/}"),
        ("host: prod.example", "host: PROD.example"),
        ("folder: {environment: dev,", "folder: {environment: dev, address: 10.0.0.9,"),
        ("folder: {environment: dev,", "folder: {environment: dev, labels: {rack: b},"),
    ],
)
def test_another_way_in_is_the_same_place(old: str, new: str) -> None:
    assert what_leaves(estate(), estate(old, new)) == Leaving()


def test_what_is_removed_or_goes_to_another_environment_leaves_and_has_not_only_moved() -> None:
    assert what_leaves(estate(), Estate()).subjects == {
        "environment/dev",
        "environment/prod",
        *(f"target/{name}" for name in ("folder", "socket", "tcp", "ssh")),
    }
    to_prod = what_leaves(estate(), estate("folder: {environment: dev, process: {directory: /d}", "folder: {environment: prod, process: {directory: /e}"))
    assert (to_prod.targets, to_prod.moved) == ({"folder"}, {})


def test_places_are_named_as_the_estates_rules_name_them() -> None:
    moved = what_leaves(estate(), estate("host: prod.example", "host: other.example")).moved["ssh"]
    assert moved == Moved(
        origin="docker unix:///var/run/docker.sock on prod.example:22",
        to="docker unix:///var/run/docker.sock on other.example:22",
    )
