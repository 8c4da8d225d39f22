"""Writes the lab's `estate.yaml`: three environments with growing caution, in the words that a user would write. Pure until `write_text`.

The file is made from text, not from values, because its comments are half of what it is for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from stella_pipelines.lab.hosts import LabHost
from stella_pipelines.lab.webapp.pages import NEEDED_SETTING, PORT_INSIDE, REPOSITORY_PATH

_FREEZE_IN: Final = timedelta(days=180)
_FREEZE_LENGTH: Final = timedelta(days=10)

_ESTATE: Final = """\
# The estate of the {kind} lab. Names are keys; secrets are references; `stella apply -f estate.yaml` makes it so.

registries:
  {registry_host}: {registry}

components:
  web:
    repository: {repository}
    ports:
      - {{container: {port_inside}, host: {port}}}
    health: {health}
    stop_timeout_s: 3

environments:
  dev:
    display_name: Development
    gates: none # said, not forgotten: anything goes into dev
    variables: {{{needed}: "http://catalogue.example"}} # staging and prod were forgotten, as v3 will notice

  staging:
    display_name: Staging
    promotes_from: [dev]
    gates:
      freeze: {{kind: freeze_window}}
      seen_in_dev: {{kind: previous_environment}}

  prod:
    display_name: Production
    is_production: true
    promotes_from: [staging]
    gates: # all are asked; a single deny rejects
      freeze: {{kind: freeze_window}}
      soaked_in_staging: {{kind: previous_environment, soak_s: 2}}
      built_from_source: {{kind: policy, policy: pinned_source}}
      vulnerabilities: {{kind: security, max_critical: 0, max_high: 0}}
      people: # the requester never counts
        kind: approval
        groups:
          release_managers: {{required: 1, members: [bob, carol]}}
    strategy: {{kind: rolling, batch: 1}} # one host at a time; the other one serves

policies:
  pinned_source:
    cel: has(release.source.commit) && release.source.commit != ""
    message: Every release to prod says which commit it was built from.

freeze_windows:
  inventory:
    reason: The warehouse counts its stock.
    environments: [staging, prod]
    starts_at: {freeze_starts}
    ends_at: {freeze_ends}

targets:
{targets}"""

_TARGET: Final = """\
  {name}: # {how}
    environment: {environment}
    address: {address}
{access}"""


def estate_text(kind: str, registry_host: str, registry: str, hosts: Mapping[str, LabHost], now: datetime) -> str:
    """The estate file of a lab. `registry` is what stands under the registry's host."""
    port = next(iter(hosts.values())).port
    starts = (now + _FREEZE_IN).replace(hour=0, minute=0, second=0, microsecond=0)
    return _ESTATE.format(
        kind=kind,
        registry_host=registry_host,
        registry=registry,
        repository=f"{registry_host}/{REPOSITORY_PATH}",
        port_inside=PORT_INSIDE,
        port=port,
        health=_health(kind, port),
        needed=NEEDED_SETTING,
        freeze_starts=starts.isoformat(),
        freeze_ends=(starts + _FREEZE_LENGTH).isoformat(),
        targets="\n".join(_target(host) for host in hosts.values()),
    )


def plain_registry() -> str:
    """The lab's registry process."""
    return "{plain_http: true} # a registry on this machine may speak plain HTTP; no other may"


def layout_registry(folder: Path) -> str:
    """The lab's layout folder."""
    return f"{{kind: layout, path: {_quoted(folder)}}} # an OCI image layout folder in a registry's place"


def _health(kind: str, port: int) -> str:
    if kind == "engines":
        return "{kind: container, timeout_s: 15, interval_s: 0.1} # the image's own HEALTHCHECK"
    return f"{{kind: http, port: {port}, path: /health, timeout_s: 5, interval_s: 0.1}}"


def _target(host: LabHost) -> str:
    how, access = _access(host)
    lines = "".join(f"    {line}\n" for line in access)
    return _TARGET.format(name=host.name, how=how, environment=host.environment, address=host.address, access=lines)


def _access(host: LabHost) -> tuple[str, list[str]]:
    """What a reader should notice about the way to this target, and the section that says it."""
    if host.docker_endpoint is None:
        return "a folder in a host's place", [f"process: {{directory: {_quoted(host.folder)}}}"]
    endpoint = f"  endpoint: {host.docker_endpoint}"
    if host.tls is not None:
        tls = [
            f"    ca_file: {_quoted(host.tls.ca_file)}",
            f"    certificate_file: {_quoted(host.tls.certificate_file)}",
            f"    key: file://{host.tls.key_file}",
        ]
        return "a Docker Engine over mutual TLS", ["docker:", endpoint, "  tls:", *tls]
    if host.ssh is not None:
        where = [f"    host: {host.address}", f"    port: {host.ssh.port}", "    username: root"]
        keys = [f"    host_key: {host.ssh.host_key} # pinned: no trust on first use", f"    private_key: file://{host.ssh.private_key}"]
        return "a Docker Engine over SSH", ["docker:", endpoint, "  ssh:", *where, *keys]
    return "a Docker Engine on its own socket", ["docker:", endpoint]


def _quoted(path: Path) -> str:
    return json.dumps(str(path))
