"""An installation in which one release runs and the next one is ready, on simulated targets, and what it then runs and says."""

from __future__ import annotations

from typing import Any

from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState
from stella_pipelines.environments.model import Strategy
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.store.database import Store
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World


def two_releases(store: Store, targets: int, strategy: Strategy, **environment: Any) -> tuple[Installation, Digest, Digest]:
    """An installation in which v1 runs everywhere and v2 is ready."""
    clock = SimulatedClock()
    installation = Installation(store, clock, World(clock))
    installation.apply(make_estate(targets, strategy, **environment))
    v1, v2 = installation.release("1"), installation.release("2")
    assert installation.deploy(v1).state is DeploymentState.SUCCEEDED
    return installation, v1, v2


def versions(installation: Installation, component: str = "web") -> set[str]:
    """The versions of a component that the targets run."""
    digests = {runs[component][0] if component in runs else None for runs in installation.world.runs().values()}
    known = {image(component, version).digest: version for version in "123"}
    return {known[digest] if digest else "nothing" for digest in digests}


def packet_of(installation: Installation, record: DeploymentRecord) -> tuple[Statement, dict[str, Any]]:
    """A deployment's packet, verified: the statement and what it claims."""
    assert record.packet_id is not None
    with installation.database.reading() as tx:
        packet = installation.evidence.get(tx, record.packet_id)
    statement = verify_packet(packet.envelope, [installation.evidence.public_pem]).statement
    return statement, statement.claim()
