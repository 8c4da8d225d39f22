"""The estate: environments in a promotion DAG, targets, components, policies, freeze windows. Pure values, as declared in `estate.yaml`."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.limits import TARGETS_MAX
from stella_pipelines.core.secrets import SecretReference
from stella_pipelines.core.values import Value

EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
TargetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
WindowName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Seconds = Annotated[float, Field(ge=0, le=31 * 24 * 3600)]
_Percent = Annotated[str, StringConstraints(pattern=r"^(100|[1-9]?[0-9])%$")]
Batch = Annotated[_Percent | Annotated[int, Field(ge=1)], Field(union_mode="left_to_right")]
"""How many targets at once: a count (`2`) or a percentage of the environment's targets (`"25%"`, rounded up, at least one)."""
Budget = Annotated[_Percent | Annotated[int, Field(ge=0)], Field(union_mode="left_to_right")]
"""How many targets may fail: a count (`0`) or a percentage of the environment's targets."""


# ---------------------------------------------------------------- registries and components


class Registry(Value):
    """How to speak to the registry at `host`.

    `distribution` is the OCI Distribution API. `layout` is an OCI image layout folder that stands in the registry's place (air-gapped transfer, embedded lab).
    Plain HTTP is accepted for loopback hosts only.
    """

    host: str
    kind: Literal["distribution", "layout"] = "distribution"
    path: str | None = None
    plain_http: bool = False
    ca_file: str | None = None
    username: str | None = None
    password: SecretReference | None = None


class HealthCheck(Value):
    """When a component counts as healthy. `container` trusts the image's own HEALTHCHECK; `http` and `tcp` ask from outside."""

    kind: Literal["container", "http", "tcp", "none"] = "container"
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    path: str = "/"
    expect_status: Annotated[int, Field(ge=100, le=599)] = 200
    timeout_s: Seconds = 30.0
    interval_s: Annotated[float, Field(ge=0.05, le=60)] = 0.5
    successes: Annotated[int, Field(ge=1, le=20)] = 1

    @model_validator(mode="after")
    def _port_given(self) -> Self:
        if self.kind in ("http", "tcp") and self.port is None:
            raise ValueError(f"a {self.kind} health check needs a port (the port on the host)")
        return self


class Port(Value):
    """A published port: `container` inside, `host` outside, on the target's own address unless `address` says otherwise."""

    container: Annotated[int, Field(ge=1, le=65535)]
    host: Annotated[int, Field(ge=1, le=65535)]
    address: str | None = None


class Component(Value):
    """A deployable part of the system and how its containers are run."""

    name: Name
    repository: str
    ports: tuple[Port, ...] = ()
    variables: dict[str, str] = {}
    secrets: dict[str, SecretReference] = {}
    health: HealthCheck = HealthCheck()
    stop_timeout_s: Seconds = 10.0


# ---------------------------------------------------------------- targets


class SshAccess(Value):
    """How to reach a host over SSH. `host_key` is the pinned public key line (`ssh-ed25519 AAAA…`); there is no trust on first use."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    username: str
    host_key: str
    private_key: SecretReference


class TlsAccess(Value):
    """Mutual TLS to an engine: our certificate and key, and the CA that signed the engine's certificate."""

    ca_file: str
    certificate_file: str
    key: SecretReference


class DockerAccess(Value):
    """A Docker Engine: `unix:///path/docker.sock`, or `tcp://host:port` with `tls`; with `ssh`, the socket is on that host."""

    endpoint: str
    tls: TlsAccess | None = None
    ssh: SshAccess | None = None

    @model_validator(mode="after")
    def _tls_on_tcp(self) -> Self:
        if self.endpoint.startswith("tcp://"):
            if self.tls is None or self.ssh is not None:
                raise ValueError("a tcp:// engine needs 'tls' with a client certificate, and no 'ssh'; an open engine socket is root for everybody")
        elif not self.endpoint.startswith("unix:///"):
            raise ValueError("an engine's endpoint is unix:///path or tcp://host:port")
        elif self.tls is not None:
            raise ValueError("'tls' goes with a tcp:// endpoint")
        return self


class ProcessAccess(Value):
    """A folder on this machine where the embedded lab unpacks images and runs their entrypoints as plain processes. No isolation."""

    directory: str


class Target(Value):
    """Something that runs components: a Docker Engine, or a `process` folder of the embedded lab."""

    name: TargetName
    environment: EnvironmentName
    kind: Literal["docker", "process"]
    docker: DockerAccess | None = None
    process: ProcessAccess | None = None
    address: str = "127.0.0.1"
    """Where published ports are bound and health checks from outside knock."""
    labels: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_access(self) -> Self:
        given = {kind for kind, access in (("docker", self.docker), ("process", self.process)) if access is not None}
        if given != {self.kind}:
            raise ValueError(f"a {self.kind} target has exactly the section '{self.kind}'")
        return self


# ---------------------------------------------------------------- gates, windows, policies


class ApprovalGroup(Value):
    """`required` different people out of `members`. One person fills one seat in one group only."""

    name: Name
    required: Annotated[int, Field(ge=1, le=20)] = 1
    members: tuple[str, ...]


class OverridableConfig(Value):
    """Base of the gates whose verdict people can overrule, two together. Nobody can, unless the estate names them."""

    overridable_by: tuple[str, ...] = ()


class FreezeGateConfig(OverridableConfig):
    """Closed while any freeze window that covers the environment is open."""

    kind: Literal["freeze_window"] = "freeze_window"


class ApprovalGateConfig(Value):
    """N of M people, bound to the plan's hash. The requester never counts; `commit_author_excluded` bars the commit's author too."""

    kind: Literal["approval"] = "approval"
    groups: tuple[ApprovalGroup, ...]
    expires_after_s: Seconds = 24 * 3600.0
    requester_excluded: Literal[True] = True
    commit_author_excluded: bool = False


class PreviousEnvironmentGateConfig(OverridableConfig):
    """The same release digest was deployed, is observed healthy, and has soaked, in the environments that this one promotes from."""

    kind: Literal["previous_environment"] = "previous_environment"
    soak_s: Seconds = 0.0


class PolicyGateConfig(OverridableConfig):
    """A CEL expression of the named policy over `release`, `environment` and `plan`; only `true` allows."""

    kind: Literal["policy"] = "policy"
    policy: Name


class SecurityGateConfig(OverridableConfig):
    """Vulnerability thresholds over the reports given to the release. `max_*` is the count still allowed after VEX."""

    kind: Literal["security"] = "security"
    max_critical: Annotated[int, Field(ge=0)] = 0
    max_high: Annotated[int, Field(ge=0)] = 0
    max_medium: Annotated[int, Field(ge=0)] | None = None
    max_low: Annotated[int, Field(ge=0)] | None = None
    report_max_age_s: Annotated[float, Field(gt=0)] | None = None


class PluginGateConfig(OverridableConfig):
    """A gate that a plugin registered under the entry-point group `stella.gates`; `config` is checked by the plugin."""

    kind: Literal["plugin"] = "plugin"
    gate: Name
    config: dict[str, str | int | float | bool] = {}


GateConfig = Annotated[
    FreezeGateConfig | ApprovalGateConfig | PreviousEnvironmentGateConfig | PolicyGateConfig | SecurityGateConfig | PluginGateConfig,
    Field(discriminator="kind"),
]


class Gate(Value):
    """A named gate of an environment."""

    name: Name
    config: GateConfig


class Policy(Value):
    """A named CEL expression. Its digest is part of every decision that it took part in."""

    name: Name
    cel: str
    message: str = ""


class FreezeWindow(Value):
    """A time in which nothing is promoted: one-off (`starts_at`, `ends_at`) or recurring (RFC 5545 `rrule` from `starts_at` for `lasts_s`).

    Recurring windows keep local time in `time_zone` over daylight-saving changes. `environments` empty means all of them.
    """

    name: WindowName
    reason: str
    environments: tuple[EnvironmentName, ...] = ()
    starts_at: Instant
    ends_at: Instant | None = None
    rrule: str | None = None
    lasts_s: Annotated[float, Field(gt=0, le=366 * 24 * 3600)] | None = None
    time_zone: str = "UTC"

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.rrule is None:
            if self.ends_at is None or self.lasts_s is not None or self.ends_at <= self.starts_at:
                raise ValueError(f"window {self.name}: a one-off window has 'ends_at' after 'starts_at', and no 'lasts_s'")
        elif self.lasts_s is None or self.ends_at is not None:
            raise ValueError(f"window {self.name}: a recurring window has 'rrule' and 'lasts_s', and no 'ends_at'")
        return self

    @property
    def length(self) -> timedelta:
        """How long one occurrence lasts."""
        return timedelta(seconds=self.lasts_s) if self.lasts_s is not None else (self.ends_at or self.starts_at) - self.starts_at


# ---------------------------------------------------------------- environments


class AllAtOnce(Value):
    """Every target at the same moment."""

    kind: Literal["all_at_once"] = "all_at_once"
    failure_budget: Budget = 0
    """Failed targets that are still accepted (count or percent); one more fails the rollout."""


class Rolling(Value):
    """`batch` targets at a time, `pause_s` between batches, until more than `failure_budget` targets failed."""

    kind: Literal["rolling"] = "rolling"
    batch: Batch = 1
    pause_s: Seconds = 0.0
    failure_budget: Budget = 0


Strategy = Annotated[AllAtOnce | Rolling, Field(discriminator="kind")]


class UpstreamRule(StrEnum):
    """Which of the upstream environments must have proven a release."""

    ALL = "all"
    ANY = "any"


class Environment(Value):
    """A stage of the promotion path. It has gates, or the word `none`: an environment without gates says so."""

    name: EnvironmentName
    display_name: str = ""
    promotes_from: tuple[EnvironmentName, ...] = ()
    promotes_from_rule: UpstreamRule = UpstreamRule.ALL
    gates: tuple[Gate, ...] | Literal["none"]
    strategy: Strategy = AllAtOnce()
    components: tuple[Name, ...] = ()
    """Components that run here; empty means every component of the release."""
    variables: dict[str, str] = {}
    is_production: bool = False
    deployment_timeout_s: Seconds = 3600.0
    rollback_on_failure: bool = True
    targets_per_shard: Annotated[int, Field(ge=1, le=TARGETS_MAX)] | None = None
    """How many targets one worker of a deployment is for. Without it, one process carries the whole deployment out."""

    @model_validator(mode="after")
    def _gates_once(self) -> Self:
        if self.gates != "none":
            names = [gate.name for gate in self.gates]
            if not names:
                raise ValueError(f"environment {self.name}: 'gates' is empty; write 'gates: none' if that is meant")
            if len(set(names)) != len(names):
                raise ValueError(f"environment {self.name}: two gates have the same name")
        return self


class Estate(Value):
    """Everything that `estate.yaml` declares. Cross-references are checked in `estate.py`, where line numbers are known."""

    registries: tuple[Registry, ...] = ()
    components: tuple[Component, ...] = ()
    environments: tuple[Environment, ...] = ()
    targets: tuple[Target, ...] = ()
    policies: tuple[Policy, ...] = ()
    freeze_windows: tuple[FreezeWindow, ...] = ()

    def environment(self, name: str) -> Environment | None:
        """The environment with this name."""
        return next((environment for environment in self.environments if environment.name == name), None)

    def component(self, name: str) -> Component | None:
        """The component with this name."""
        return next((component for component in self.components if component.name == name), None)

    def targets_of(self, environment: str) -> tuple[Target, ...]:
        """The targets of an environment, by name."""
        return tuple(sorted((target for target in self.targets if target.environment == environment), key=lambda target: target.name))

    def policy(self, name: str) -> Policy | None:
        """The policy with this name."""
        return next((policy for policy in self.policies if policy.name == name), None)

    def registry(self, host: str) -> Registry | None:
        """How to speak to the registry at `host`."""
        return next((registry for registry in self.registries if registry.host == host), None)
