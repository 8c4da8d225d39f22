"""What is known of a past deployment: a value, so that the gates that judge by it stay free of the store."""

from __future__ import annotations

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value


class ProvenDeployment(Value):
    """The newest deployment of a release that proved its digests in an environment, and how it was seen last.

    `healthy_since` is the start of the unbroken time in which it was observed healthy; None when it is not healthy now.
    """

    deployment_id: str
    release_digest: Digest
    deployed_at: Instant
    healthy: bool
    observed_at: Instant
    healthy_since: Instant | None
