"""Making the plan of an environment: from the declared estate, from what its targets say now, and from what our records know about that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stella_pipelines.connectors.port import Observation
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.connections import Connectors
from stella_pipelines.deployments.known import KnownSpecs
from stella_pipelines.deployments.plan import Plan, SpecIndex, plan_incomplete
from stella_pipelines.deployments.planner import plan_environment
from stella_pipelines.deployments.wanted import EarlierSpecs, Wanted, as_earlier, only_earlier, rendered
from stella_pipelines.environments.model import Environment, Estate
from stella_pipelines.environments.service import Environments
from stella_pipelines.promotions.errors import unknown_environment
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.releases.service import Releases
from stella_pipelines.store.database import Store


@dataclass(frozen=True)
class Planned:
    """A plan with everything that it was made of."""

    release: ReleaseRecord
    estate: Estate
    wanted: Wanted
    plan: Plan


class Planning:
    """Plans that no use case has to put together by itself."""

    def __init__(self, store: Store, environments: Environments, releases: Releases, connectors: Connectors, clock: Clock) -> None:
        self._store = store
        self._environments = environments
        self._releases = releases
        self._connectors = connectors
        self._clock = clock

    async def plan(self, environment: str, release_digest: Digest, earlier: Mapping[str, EarlierSpecs] | None = None) -> Planned:
        """What a deployment of the release would change; with `earlier`, as a deployment before had it on its targets."""
        estate, revision = self._environments.current()
        declared = require_environment(estate, environment)
        release = self._releases.by_digest(release_digest)
        wanted = as_earlier(earlier or {}, rendered(release.release, declared, estate))
        return await self._planned(declared, release, estate, revision, wanted)

    async def plan_again(self, environment: str, release_digest: Digest, earlier: Mapping[str, EarlierSpecs], targets: Sequence[str]) -> Planned:
        """What it takes to bring some targets to what an earlier deployment had for them, and to nothing else."""
        estate, revision = self._environments.current()
        declared = require_environment(estate, environment)
        left = sorted(set(targets) - {target.name for target in estate.targets_of(environment)})
        if left:
            raise plan_incomplete(environment, [f"{name}: it has left the environment" for name in left])
        fewer = estate.model_copy(update={"targets": tuple(target for target in estate.targets if target.name in targets)})
        return await self._planned(declared, self._releases.by_digest(release_digest), fewer, revision, only_earlier(earlier))

    async def _planned(self, environment: Environment, release: ReleaseRecord, estate: Estate, revision: int, wanted: Wanted) -> Planned:
        plan = await plan_environment(
            release,
            environment,
            estate,
            revision=revision,
            connectors=self._connectors,
            clock=self._clock,
            known_specs=self._known,
            wanted=wanted,
        )
        return Planned(release, estate, wanted, plan)

    def _known(self, observations: Sequence[Observation]) -> SpecIndex:
        with self._store.reading() as tx:
            return KnownSpecs(tx).running(observations)


def require_environment(estate: Estate, name: str) -> Environment:
    """The declared environment with this name."""
    declared = estate.environment(name)
    if declared is None:
        raise unknown_environment(name)
    return declared
