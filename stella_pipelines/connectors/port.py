"""What a target connector must do: the one narrow protocol between a rollout and the world.

Every operation is idempotent. An operation that changes the target carries an `Effect`: the deployment, the step's key and the
fencing token under which it acts. Asking for a state that already holds changes nothing and is not an error.
Adapters translate their library's exceptions into `ConnectorError`s here at the edge; nothing else leaves a connector.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import Words
from stella_pipelines.environments.model import HealthCheck, Port


class ConnectorError(StellaError):
    """Base of what a connector may raise."""


class TargetUnreachable(ConnectorError):
    """The target does not answer: refused, timed out, no route."""

    code = "DEPLOY_TARGET_UNREACHABLE"
    retryable = True


class TargetIdentityChanged(ConnectorError):
    """The target answers with another identity: an SSH host key or a TLS certificate that is not the pinned one."""

    code = "DEPLOY_TARGET_IDENTITY_CHANGED"


class TargetRefused(ConnectorError):
    """The target understood and said no: credentials, permissions, a request it does not accept."""

    code = "DEPLOY_TARGET_REFUSED"


class TargetDiskFull(ConnectorError):
    """The target has no room for the image."""

    code = "DEPLOY_TARGET_DISK_FULL"


class ImageUnavailable(ConnectorError):
    """The target cannot pull the image by its digest, or the release has no image for the target's platform."""

    code = "DEPLOY_IMAGE_UNAVAILABLE"


class DigestMismatch(ConnectorError):
    """The target pulled or runs something else than the release says."""

    code = "DEPLOY_DIGEST_MISMATCH"


class StartFailed(ConnectorError):
    """The component did not start: a port in use, a missing entrypoint, an exit right away."""

    code = "DEPLOY_START_FAILED"


class Unhealthy(ConnectorError):
    """The component started and did not become healthy in time."""

    code = "DEPLOY_UNHEALTHY"


class HealthcheckMissing(ConnectorError):
    """The component's health is left to the image's own HEALTHCHECK, and the image has none. Without a check nothing is healthy."""

    code = "DEPLOY_HEALTHCHECK_MISSING"


class StaleFence(ConnectorError):
    """A newer holder of the target's lease has acted on the target already. Whoever gets this has lost the lease and must stop."""

    code = "DEPLOY_STALE_FENCE"


class KeptInstanceMissing(ConnectorError):
    """The kept instance of the earlier deployment is no longer on the target, so it cannot be started again."""

    code = "DEPLOY_KEPT_INSTANCE_MISSING"


class SecretUnavailable(ConnectorError):
    """A secret that the target's access or the component's environment refers to cannot be read here."""

    code = "DEPLOY_SECRET_UNAVAILABLE"


class ComponentSpec(Value):
    """One component as a target shall run it. `variables` are merged already; secrets stay references."""

    name: str
    repository: str
    index_digest: Digest
    platform_digest: Digest
    config_digest: Digest
    ports: tuple[Port, ...] = ()
    variables: dict[str, str] = {}
    secrets: dict[str, str] = {}
    health: HealthCheck
    stop_timeout_s: float

    def image(self) -> str:
        """`repository@platform digest`: what is pulled."""
        return f"{self.repository}@{self.platform_digest}"


class TargetSpec(Value):
    """Everything that one target shall run after the deployment."""

    deployment_id: str
    environment: str
    target: str
    release: str
    release_digest: Digest
    components: tuple[ComponentSpec, ...]


class Effect(Value):
    """Under which authority a change is made. `key` names the step; `fence` is the lease's token, and never goes back."""

    deployment_id: str
    key: str
    fence: int


class Probe(Value):
    """What kind of target this is."""

    platform: Words
    engine: Words
    disk_free_bytes: int | None = None


class Health(StrEnum):
    """Unknown is not healthy."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    STARTING = "starting"
    UNKNOWN = "unknown"


class RunningComponent(Value):
    """A component as the target itself reports it. `platform_digest` is None when the target cannot prove which image it runs."""

    component: Words
    platform_digest: Digest | None
    config_digest: Digest | None
    runtime_id: Words
    deployment_id: Words | None
    release_digest: Digest | None
    running: bool
    health: Health


class Observation(Value):
    """What a target runs, when it was asked. `fence` is the highest fencing token that the target's components carry."""

    target: str
    observed_at: Instant
    components: tuple[RunningComponent, ...]
    sticker: Digest | None = None
    fence: int = 0

    def running(self, component: str) -> RunningComponent | None:
        """The running instance of a component; the stopped way-back copies are not reported here."""
        return next((found for found in self.components if found.component == component and found.running), None)


class TargetConnector(Protocol):
    """One connection to one target. Open it with `async with`."""

    async def __aenter__(self) -> TargetConnector: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def probe(self) -> Probe:
        """Platform, engine and free disk. Changes nothing."""
        ...

    async def observe(self, now: Instant) -> Observation:
        """What runs, by digest. Changes nothing."""
        ...

    async def prepare(self, component: ComponentSpec, effect: Effect) -> None:
        """Bring the image onto the target by digest and prove that it is the released one. Nothing that runs is touched."""
        ...

    async def has_image(self, platform_digest: Digest, repository: str) -> bool:
        """Whether the image is on the target already: the proof that the way back exists. Changes nothing."""
        ...

    async def activate(self, spec: TargetSpec, component: ComponentSpec, sticker: bytes, effect: Effect) -> None:
        """Run the component at the spec's digest, with the sticker. The instance that ran before is stopped and kept as the way back."""
        ...

    async def health(self, component: ComponentSpec, now: Instant) -> Health:
        """One look at the component's health, without waiting."""
        ...

    async def restore(self, component: str, to_deployment_id: str | None, effect: Effect) -> None:
        """Stop this deployment's instance (of `effect.deployment_id`) and start again the kept instance of the earlier deployment `to_deployment_id`.

        With None there was nothing before: the component is only removed."""
        ...

    async def retire(self, component: str, keep_deployment_ids: tuple[str, ...], effect: Effect) -> None:
        """Remove stopped instances of the component that belong to no deployment in `keep_deployment_ids`."""
        ...

    async def read_sticker(self) -> bytes | None:
        """The sticker of what runs now (`stella.version.json`), or None."""
        ...

    async def logs(self, component: str, bytes_max: int) -> bytes:
        """The last output of the running instance, for the failure report."""
        ...
