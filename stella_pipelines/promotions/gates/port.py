"""What a gate must do: gather facts into a document that is stored, then judge that document and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Environment, Estate, Gate, PluginGateConfig
from stella_pipelines.promotions.approvals import Approval
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.releases.model import ReleaseRecord

Verdict = Literal["allow", "deny", "wait", "error"]


class NamedDigest(Value):
    """Something that took part in a decision, and its digest."""

    name: str
    digest: Digest


class GateInputs(Value):
    """Everything that a gate's verdict depends on, its own configuration and the time included.

    `materials` are stored blobs that `facts` were read out of, `policies` the digests of rule texts in it.
    `failure` is set instead of `facts` when the facts could not be gathered; such inputs are judged `error`.
    """

    name: str
    kind: str
    facts: dict[str, Any] = {}
    materials: tuple[NamedDigest, ...] = ()
    policies: tuple[NamedDigest, ...] = ()
    failure: dict[str, Any] | None = None


class GateVerdict(Value):
    """A gate's answer. `would_change` says what would change it; `approvers` are the people whose seats were counted."""

    verdict: Verdict
    reasons: tuple[str, ...]
    would_change: tuple[str, ...] = ()
    wait_until: Instant | None = None
    approvers: tuple[str, ...] = ()


class GivenReport(Value):
    """A security report that was given to the release, with its bytes."""

    id: str
    kind: str
    blob: Digest
    given_at: Instant
    content: bytes


class GateFacts(Protocol):
    """The narrow window through which a gate looks at what is stored."""

    def approvals(self) -> tuple[Approval, ...]:
        """Every approval and rejection of this promotion, in the order in which they were stored."""
        ...

    def last_proven(self, environment: str) -> ProvenDeployment | None:
        """The newest proven deployment of this release in an environment."""
        ...

    def reports(self) -> tuple[GivenReport, ...]:
        """The security reports given to this release, oldest first."""
        ...


@dataclass(frozen=True)
class GateContext:
    """What every gate is asked about. `plan` is the plan's document, exactly as its digest says."""

    release: ReleaseRecord
    environment: Environment
    estate: Estate
    promotion: Promotion
    plan: Mapping[str, Any] | None
    plan_digest: Digest | None
    now: datetime
    facts: GateFacts


class GateKind(Protocol):
    """A kind of gate. `judge` is pure: the same inputs give the same verdict, today and at an audit."""

    kind: str

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        """Read the facts. May raise; that is recorded as the verdict `error`."""
        ...

    def judge(self, inputs: GateInputs) -> GateVerdict:
        """Judge the stored inputs."""
        ...


def kind_of(gate: Gate) -> str:
    """The name under which the gate's kind is registered."""
    return gate.config.gate if isinstance(gate.config, PluginGateConfig) else gate.config.kind


def allow(*reasons: str, approvers: tuple[str, ...] = ()) -> GateVerdict:
    """The verdict `allow`."""
    return GateVerdict(verdict="allow", reasons=reasons, approvers=approvers)


def deny(*reasons: str, would_change: tuple[str, ...]) -> GateVerdict:
    """The verdict `deny`; it always says what would change it."""
    return GateVerdict(verdict="deny", reasons=reasons, would_change=would_change)


def wait(*reasons: str, until: datetime | None, would_change: tuple[str, ...]) -> GateVerdict:
    """The verdict `wait`, until a time or (None) an event."""
    return GateVerdict(verdict="wait", reasons=reasons, wait_until=until, would_change=would_change)


def error(*reasons: str, would_change: tuple[str, ...]) -> GateVerdict:
    """The verdict `error`: the question could not be answered."""
    return GateVerdict(verdict="error", reasons=reasons, would_change=would_change)
