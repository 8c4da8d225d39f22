"""A past of real decisions in an installation: requested, evaluated over real gates, decided and sealed. Nothing is deployed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.settings import Settings
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.releases import rows
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent, ReleaseRecord, ReleaseSource

ADA, GRACE, RITA = (Actor(name=name, via="test") for name in ("ada", "grace", "rita"))


@contextmanager
def installation(estate: str) -> Iterator[ControlPlane]:
    """The installation that the environment names, with this estate applied."""
    with open_control_plane(Settings.from_environ(os.environ)) as plane:
        declared = parse_estate(estate, "estate.yaml")
        plane.environments.apply(ADA, declared, source_digest=declared.content_digest())
        yield plane


def release(plane: ControlPlane, version: str = "1.0.0", commit: str | None = None) -> ReleaseRecord:
    """A finalized release, as if its images had been resolved; one that names its commit or not."""
    index, manifest, config = (Digest.of(f"{version} {part}".encode()) for part in ("index", "manifest", "config"))
    platforms = (PlatformImage(platform="linux/amd64", digest=manifest, config_digest=config),)
    web = ReleaseComponent(name="web", repository="registry.test/shop/web", digest=index, platforms=platforms)
    draft = Release(name="shop", version=version, components=(web,), source=ReleaseSource(commit=commit), created_at=plane.clock.now())
    with plane.store.writing() as tx:
        rows.insert_draft(tx, draft)
    return plane.releases.finalize(ADA, "shop", version)


def decide(plane: ControlPlane, record: ReleaseRecord, environment: str, *approvers: Actor) -> str:
    """One decision about the release; the id of its packet. What was allowed is taken back, so that the environment is free again."""
    assert record.digest is not None
    asked = plane.promotions.request(RITA, environment=environment, release_digest=record.digest, reason="weekly")
    for approver in (None, *approvers):
        if approver is not None:
            plane.promotions.approve(approver, asked.id, verdict="approve", reason="good", plan_digest=None)
        _evaluate(plane, asked.id, environment)
    decided = plane.promotions.get(asked.id)
    assert decided.decision_packet is not None, decided.state
    if decided.state is PromotionState.APPROVED:
        plane.promotions.cancel(RITA, asked.id, reason="only asked")
    return decided.decision_packet


def _evaluate(plane: ControlPlane, promotion_id: str, environment: str) -> None:
    plan = {"environment": environment, "targets": [{"target": "host_1", "platform": "linux/amd64", "components": []}]}
    evaluation = plane.promotions.begin_evaluation(promotion_id, plane.promotions.get(promotion_id).attempt, plan, None)
    for gate in evaluation.gates:
        plane.promotions.evaluate_gate(evaluation.id, gate)
    plane.promotions.decide(evaluation.id)
