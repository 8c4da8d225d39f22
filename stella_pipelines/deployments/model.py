"""What the room says about deployments to the rest of the house: records, ledger rows, progress, observations. Pure values."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from stella_pipelines.connectors.port import Observation
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import Words
from stella_pipelines.deployments.failure import Failure


class DeploymentState(StrEnum):
    """`running` until one transaction ends it; the others are a rollout's outcomes."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    REFUSED = "refused"


DeploymentKind = Literal["promotion", "retry", "rollback"]


class DeploymentRecord(Value):
    """One deployment. `sequence` is dense per environment; `failure` is the cause when it did not succeed."""

    id: str
    sequence: int
    kind: DeploymentKind
    promotion_id: str | None
    retry_of: str | None = None
    environment: str
    release_digest: Digest
    previous_release_digest: Digest | None
    state: DeploymentState
    attempt: int
    plan_digest: Digest
    artifacts_digest: Digest | None
    actor: Actor
    reason: Words
    started_at: Instant
    ended_at: Instant | None = None
    packet_id: str | None = None
    failure: Failure | None = None
    revision: int = 1

    @property
    def ended(self) -> bool:
        """Whether its outcome is known."""
        return self.state is not DeploymentState.RUNNING

    @property
    def brought_back(self) -> bool:
        """Whether it answers the wish for a rollback: an earlier release runs, proven, or what was to come never touched anything."""
        wanted = (DeploymentState.SUCCEEDED,) if self.kind == "rollback" else (DeploymentState.ROLLED_BACK, DeploymentState.REFUSED)
        return self.state in wanted


class TargetState(StrEnum):
    """A target's ledger state, as people read it."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    UNTOUCHED = "untouched"


class LedgerRow(Value):
    """One target's line: what was wanted, what was there before, what the target itself showed last, and how it went."""

    deployment_id: str
    target: str
    state: TargetState
    stage: str
    desired: dict[str, Digest]
    previous: dict[str, Digest | None]
    attempted: tuple[str, ...] = ()
    """The steps that were begun, in order of their first try."""
    observed: dict[str, Digest | None] = {}
    observed_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    failure: Failure | None = None
    restore_failure: Failure | None = None
    log: Digest | None = None
    """The blob with the failed component's last output."""


class Progress(Value):
    """Something happened in a deployment: for progress bars and run logs. `settled` of `total` targets are through."""

    deployment_id: str
    environment: str
    phase: str
    settled: int
    total: int
    target: str | None = None
    step: str | None = None
    event: Literal["started", "succeeded", "failed", "ended"]
    message: str = ""


class TargetObservation(Value):
    """What one target showed, or why it showed nothing. `as_released` compares every component with the ledger's last word."""

    target: str
    observation: Observation | None
    failure: Failure | None = None
    as_released: bool = False
    healthy: bool = False


class DriftFinding(Value):
    """A component of a target that is not what was deployed there. `observed` is None when it does not run, or cannot say what it is."""

    target: str
    component: str
    wanted: Digest
    """The platform digest that was deployed."""
    running: bool
    observed: Digest | None
    observed_config: Digest | None
    """What the engine calls the image's id: all there is for an image that came from no registry."""
    found_at: Instant
    """The look that saw exactly this first."""


class OngoingDrift(Value):
    """A drift that goes on, as its newest packet tells it."""

    packet_id: str
    packet_digest: Digest
    began_at: Instant
    deployment_id: str
    """The deployment that is compared with."""
    findings: tuple[DriftFinding, ...]


class EnvironmentObservation(Value):
    """What an environment runs, when it was asked, against what was deployed there last."""

    environment: str
    observed_at: Instant
    deployment_id: str | None
    release_digest: Digest | None
    targets: tuple[TargetObservation, ...]
    healthy_since: Instant | None = None
    drift: OngoingDrift | None = None

    @property
    def healthy(self) -> bool:
        """Every target runs what was released, healthy. An environment without targets is not."""
        return bool(self.targets) and all(target.healthy and target.as_released for target in self.targets)

    @property
    def as_released(self) -> bool:
        """What runs is what was released, on every target."""
        return bool(self.targets) and all(target.as_released for target in self.targets)
