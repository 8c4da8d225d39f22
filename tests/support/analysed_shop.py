"""A small installation with a history that analysts ask about: two environments, five releases, scans and VEX, a denial, a release that went back.

On simulated targets and in simulated time, so that every digest, every id and every time is the same in every run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.model import DeploymentRecord
from stella_pipelines.environments.model import (
    AllAtOnce,
    ApprovalGateConfig,
    ApprovalGroup,
    Component,
    Environment,
    Estate,
    Gate,
    HealthCheck,
    ProcessAccess,
    SecurityGateConfig,
    Target,
)
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.releases.model import Release, ReleaseComponent, ReleaseSource
from stella_pipelines.store.database import Store
from tests.simulation.installation import REPOSITORY, Installation, image
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World
from tests.support.drafts import write_draft

ALICE, ANN, BOB = (Actor(name=name, via="cli") for name in ("alice", "ann", "bob"))
CVE = "CVE-2026-1111"
HOUR_S = 3600.0
_COMPONENTS = ("web", "worker")
_GATES = (
    Gate(name="owners", config=ApprovalGateConfig(groups=(ApprovalGroup(name="owners", required=1, members=("ann", "bob")),))),
    Gate(name="scan", config=SecurityGateConfig()),
)


@dataclass
class AnalysedShop:
    """The installation, and what it released."""

    installation: Installation
    releases: dict[str, Digest]

    @property
    def store(self) -> Store:
        return self.installation.database

    def hours(self, number: float) -> None:
        """Let time pass."""
        self.installation.clock.monotonic_s += number * HOUR_S

    def release(self, version: str, commit: str, **unchanged: str) -> Digest:
        """A release of both components at this version; `unchanged` names those that stay at another one."""
        release = Release(
            name="shop",
            version=version,
            components=tuple(_component(name, unchanged.get(name, version)) for name in _COMPONENTS),
            source=ReleaseSource(repository="https://git.example.com/shop", commit=commit, author="Cyn <cyn@example.com>", build=f"ci/{version}"),
            created_at=self.installation.clock.now(),
        )
        with self.store.writing() as tx:
            write_draft(tx, ALICE, release, self.installation.clock)
        digest = self.installation.releases.finalize(ALICE, "shop", version).digest
        assert digest is not None
        self.releases[version] = digest
        return digest

    def scan(self, version: str, component: str, of_version: str, severity: str | None = None) -> None:
        """Give a release a report about one of its images, with one finding or none, and let a minute pass."""
        report = trivy_report(component, of_version, severity, self.installation.clock.now())
        self.installation.releases.attach_report(ALICE, self.releases[version], report)
        self.hours(1 / 60)

    def vex(self, version: str, why: str) -> None:
        """Say that the release is not affected."""
        self.installation.releases.attach_report(ALICE, self.releases[version], vex_document(why))

    def promote(self, version: str, environment: str, approver: Actor | None = None) -> Promotion:
        """Ask, let somebody approve, and judge."""
        promotions = self.installation.promotions
        asked = promotions.request(ALICE, environment=environment, release_digest=self.releases[version], reason=f"weekly release {version}")
        judged = self.installation.evaluate(asked.id)
        if approver is not None and judged.state is not PromotionState.REJECTED:
            self.hours(0.25)
            promotions.approve(approver, asked.id, verdict="approve", reason="looked at the plan", plan_digest=None)
            judged = self.installation.evaluate(asked.id)
        return judged

    def deploy(self, version: str, environment: str, approver: Actor | None = None) -> DeploymentRecord:
        """Promote and carry it out."""
        ended = self.installation.run(self.promote(version, environment, approver).id)
        self.hours(1)
        return ended


def analysed_shop(store: Store) -> AnalysedShop:
    """1.0.0 is clean and runs everywhere; 1.1.0 brings a vulnerable `web`; 1.2.0 is denied in production, for it is graded critical there;
    1.3.0 goes back by itself; 1.4.0 runs with the same `web` and VEX. `worker` is the same in all of them.
    """
    clock = SimulatedClock()
    shop = AnalysedShop(Installation(store, clock, World(clock)), {})
    shop.installation.apply(_estate())
    shop.release("1.0.0", "5e1f0c3")
    shop.scan("1.0.0", "web", "1.0.0")
    shop.scan("1.0.0", "worker", "1.0.0")
    shop.deploy("1.0.0", "dev")
    shop.deploy("1.0.0", "prod", ANN)
    shop.release("1.1.0", "8c41d7e", worker="1.0.0")
    shop.scan("1.1.0", "web", "1.1.0", "MEDIUM")
    shop.scan("1.1.0", "worker", "1.0.0")
    shop.deploy("1.1.0", "dev")
    shop.deploy("1.1.0", "prod", BOB)
    shop.release("1.2.0", "c90b2aa", worker="1.0.0")
    shop.scan("1.2.0", "web", "1.2.0", "CRITICAL")
    shop.scan("1.2.0", "worker", "1.0.0")
    shop.deploy("1.2.0", "dev")
    assert shop.promote("1.2.0", "prod").state is PromotionState.REJECTED
    shop.hours(1)
    shop.release("1.3.0", "1d77f04", worker="1.0.0")
    shop.scan("1.3.0", "web", "1.3.0")
    shop.scan("1.3.0", "worker", "1.0.0")
    shop.installation.world.unhealthy.add(image("web", "1.3.0").digest)
    shop.deploy("1.3.0", "prod", ANN)
    shop.release("1.4.0", "f2a6b19", web="1.2.0", worker="1.0.0")
    shop.scan("1.4.0", "web", "1.2.0", "CRITICAL")
    shop.scan("1.4.0", "worker", "1.0.0")
    shop.vex("1.4.0", "the vulnerable function is not called")
    shop.deploy("1.4.0", "prod", ANN)
    return shop


def index_of(component: str, version: str) -> Digest:
    """The digest of an image's index."""
    return Digest.of(f"index of {component}:{version}".encode())


def trivy_report(component: str, version: str, severity: str | None, at: datetime) -> bytes:
    """What Trivy would say about an image."""
    platform = image(component, version)
    finding = {"VulnerabilityID": CVE, "PkgName": "libssl3", "InstalledVersion": "3.0.11", "Severity": severity}
    reference = f"{REPOSITORY}/{component}@{platform.digest}"
    document: dict[str, Any] = {
        "SchemaVersion": 2,
        "CreatedAt": format_instant(at),
        "ArtifactName": reference,
        "ArtifactType": "container_image",
        "Metadata": {"ImageID": platform.config_digest, "RepoDigests": [reference], "ImageConfig": {"architecture": "amd64", "os": "linux"}},
        "Results": [{"Target": "debian", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [finding] if severity else []}],
    }
    return json.dumps(document).encode()


def vex_document(why: str) -> bytes:
    """What somebody who has looked into it says."""
    analysis = {"state": "not_affected", "justification": "code_not_reachable", "detail": why}
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "vulnerabilities": [{"id": CVE, "analysis": analysis}]}).encode()


def _component(name: str, version: str) -> ReleaseComponent:
    return ReleaseComponent(name=name, repository=f"{REPOSITORY}/{name}", digest=index_of(name, version), platforms=(image(name, version),))


def _estate() -> Estate:
    health = HealthCheck(kind="container", timeout_s=5.0, interval_s=0.5)
    places = (("dev-1", "dev"), ("host-1", "prod"), ("host-2", "prod"))
    return Estate(
        components=tuple(Component(name=name, repository=f"{REPOSITORY}/{name}", health=health) for name in _COMPONENTS),
        environments=(
            Environment(name="dev", gates="none", strategy=AllAtOnce()),
            Environment(name="prod", gates=_GATES, strategy=AllAtOnce(), promotes_from=("dev",), is_production=True),
        ),
        targets=tuple(
            Target(name=name, environment=environment, kind="process", process=ProcessAccess(directory=f"/simulated/{name}")) for name, environment in places
        ),
    )
