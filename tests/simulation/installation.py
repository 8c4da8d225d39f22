"""A control plane on simulated targets: the real services and a real database, simulated time, machines and deaths."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import ENTROPY_BYTES, identifier
from stella_pipelines.deployments.history import StoredHistory
from stella_pipelines.deployments.model import DeploymentRecord, Progress
from stella_pipelines.deployments.service import Deployments
from stella_pipelines.environments.model import Component, Environment, Estate, HealthCheck, ProcessAccess, Strategy, Target
from stella_pipelines.environments.service import Environments
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.service import Promotions
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent
from stella_pipelines.releases.service import Releases
from stella_pipelines.store.database import Store
from tests.simulation.faults import MortalStore, Points
from tests.simulation.timeline import BEGINNING, SimulatedClock, simulate
from tests.simulation.world import World
from tests.support.drafts import write_draft
from tests.support.evidence import signing_key

ALICE = Actor(name="alice", via="test")
REPOSITORY = "registry.test/shop"


class CountedIdentifiers:
    """Identifiers that are the same in every run with the same seed."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def new(self, prefix: str, now: Any) -> str:
        return identifier(prefix, now, self._dice.randbytes(ENTROPY_BYTES))


def image(component: str, version: str) -> PlatformImage:
    """The image of a component's version."""
    name = f"{component}:{version}"
    return PlatformImage(platform="linux/amd64", digest=Digest.of(name.encode()), config_digest=Digest.of(f"config {name}".encode()))


def make_estate(targets: int, strategy: Strategy, components: tuple[str, ...] = ("web",), **environment: Any) -> Estate:
    """One environment `prod` without gates, with that many targets."""
    health = HealthCheck(kind="container", timeout_s=5.0, interval_s=0.5)
    return Estate(
        components=tuple(Component(name=name, repository=f"{REPOSITORY}/{name}", health=health) for name in components),
        environments=(Environment(name="prod", gates="none", strategy=strategy, **environment),),
        targets=tuple(
            Target(name=f"host-{number}", environment="prod", kind="process", process=ProcessAccess(directory=f"/simulated/host-{number}"))
            for number in range(1, targets + 1)
        ),
    )


class Installation:
    """One process's view of the installation. `reborn()` is the next process, on the same database and the same machines."""

    def __init__(
        self, store: Store, clock: SimulatedClock, world: World, *, seed: int = 1, die_at: int | str | None = None, dead: frozenset[str] = frozenset()
    ) -> None:
        self.database = store
        self.clock = clock
        self.world = world
        self.seed = seed
        self.holder = f"process/{seed}"
        self.dead = dead
        self.points = Points(die_at)
        self.world.points = self.points
        self.store = MortalStore(store, self.points)
        shared: Any = self.store
        identifiers = CountedIdentifiers(seed)
        self.evidence = Evidence(signing_key())
        self.environments = Environments(shared, clock, identifiers)
        self.releases = Releases(shared, self.evidence, clock, identifiers)
        history = StoredHistory(clock)
        self.promotions = Promotions(shared, self.evidence, self.environments, self.releases, clock, identifiers, history)
        self.deployments = Deployments(shared, self.evidence, self.environments, self.releases, self.promotions, world.connector, clock, identifiers)
        self.progress: list[Progress] = []

    def reborn(self, die_at: int | str | None = None) -> Installation:
        """The process that follows this one, and knows that this one is dead."""
        return Installation(self.database, self.clock, self.world, seed=self.seed + 1000, die_at=die_at, dead=self.dead | {self.holder})

    # ------------------------------------------------------------ arranging

    def apply(self, estate: Estate) -> None:
        self.environments.apply(ALICE, estate, source_digest=Digest.of(b"estate"))

    def release(self, version: str, components: tuple[str, ...] = ("web",), unchanged: Mapping[str, str] | None = None) -> Digest:
        """A finalized release of that version of every component; `unchanged` names components that stay at another version."""
        images = {name: image(name, (unchanged or {}).get(name, version)) for name in components}
        pinned = tuple(
            ReleaseComponent(name=name, repository=f"{REPOSITORY}/{name}", digest=found.digest, platforms=(found,)) for name, found in images.items()
        )
        with self.store.writing() as tx:
            write_draft(tx, ALICE, Release(name="shop", version=version, components=pinned, created_at=BEGINNING), self.clock)
        digest = self.releases.finalize(ALICE, "shop", version).digest
        assert digest is not None
        return digest

    def approve(self, release: Digest, environment: str = "prod") -> Promotion:
        """A promotion whose gates were asked."""
        promotion = self.promotions.request(ALICE, environment=environment, release_digest=release, reason="test")
        return self.evaluate(promotion.id)

    def evaluate(self, promotion_id: str) -> Promotion:
        """Plan, ask every gate, and decide the promotion's newest attempt."""
        promotion = self.promotions.get(promotion_id)
        plan = simulate(self.clock, self.deployments.plan(promotion.environment, promotion.release_digest))
        evaluation = self.promotions.begin_evaluation(promotion.id, promotion.attempt, plan.document())
        for gate in evaluation.gates:
            self.promotions.evaluate_gate(evaluation.id, gate)
        return self.promotions.decide(evaluation.id)[0]

    # ------------------------------------------------------------ acting

    def run(self, promotion_id: str, holder: str | None = None) -> DeploymentRecord:
        work = self.deployments.run(promotion_id, holder or self.holder, self.progress.append, gone=self.dead.__contains__)
        return simulate(self.clock, work)

    def deploy(self, release: Digest) -> DeploymentRecord:
        """Approve and run."""
        return self.run(self.approve(release).id)

    def rollback(self, to: Digest | None = None, environment: str = "prod") -> DeploymentRecord:
        return simulate(self.clock, self.deployments.rollback(ALICE, environment, to, "test", progress=self.progress.append))

    def retry(self, deployment_id: str) -> DeploymentRecord:
        return simulate(self.clock, self.deployments.retry_failed(ALICE, deployment_id, "test", progress=self.progress.append))
