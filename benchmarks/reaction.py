"""`decision_latency` and `approve_to_touch`: how long a person waits for the control plane, next to the limit that a person notices.

`decision_latency` is from the moment at which a promotion is requested until its decision is sealed, with the five gates of the lab's prod and nobody to
wait for: one gate denies. `approve_to_touch` is from an approval, which starts the evaluation of all five gates once more, until the deployment's journal
has its first step on a target. Both are medians on a warm installation (`stella up`), read from what the store recorded, as any auditor could.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.installation import ACTOR, Running, running, until
from benchmarks.row import Row
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.lab.lab import Lab
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.releases.model import ReleaseSource

BOB: Final = Actor(name="bob", via="test")
ROUNDS: Final = 7
DECISION_LIMIT_S: Final = 1.0
TOUCH_LIMIT_S: Final = 1.5


def reaction() -> list[Row]:
    """Medians of seven decisions and seven approvals, one after the other."""
    with tempfile.TemporaryDirectory(prefix="stella-bench-") as folder, Lab("embedded", Path(folder) / "lab") as lab, running() as installation:
        estate = parse_estate(lab.estate_path.read_text(), "estate.yaml")
        installation.plane.environments.apply(ACTOR, estate, source_digest=estate.content_digest())
        _deployed_before_prod(installation, _release(installation, lab, "1.0.0", commit="5e1f0c3"))
        touches = [_touched_after_s(installation, lab, number) for number in range(ROUNDS)]
        nobodys = _release(installation, lab, "9.0.0", commit=None)
        decisions = [_decided_after_s(installation, nobodys) for _ in range(ROUNDS)]
    return [
        Row("decision_latency", statistics.median(decisions), "s", "what a person takes for at once", DECISION_LIMIT_S),
        Row("approve_to_touch", statistics.median(touches), "s", "what a person waits for gladly", TOUCH_LIMIT_S),
    ]


def _decided_after_s(installation: Running, release: Digest) -> float:
    """A release that names no commit and has no scan: every gate is asked, and the answer is a sealed no."""
    started = time.perf_counter()
    asked = installation.plane.promotions.request(ACTOR, environment="prod", release_digest=release, reason="bench")
    until(lambda: installation.plane.promotions.get(asked.id).state is PromotionState.REJECTED, "rejected", poll_s=0.01)
    return time.perf_counter() - started


def _touched_after_s(installation: Running, lab: Lab, number: int) -> float:
    """One release on its way to prod: what passes between the second person's word and the first step on a target."""
    plane = installation.plane
    release = _release(installation, lab, f"1.0.{number}", commit="5e1f0c3")
    _deployed_before_prod(installation, release)
    asked = plane.promotions.request(ACTOR, environment="prod", release_digest=release, reason="bench")
    until(lambda: _waits_for_people(installation, asked), "waiting for people")
    started = time.perf_counter()
    plane.promotions.approve(BOB, asked.id, reason="bench")
    until(lambda: _is_touched(installation, asked.id), "touched", poll_s=0.01)
    elapsed_s = time.perf_counter() - started
    _settled(installation, asked)
    return elapsed_s


def _waits_for_people(installation: Running, asked: Promotion) -> bool:
    """Whether only the approval is missing. The soak in staging ends by itself."""
    found = installation.plane.promotions.get(asked.id)
    if found.state is not PromotionState.WAITING:
        return False
    return {one.name for one in installation.plane.promotions.results(asked.id) if one.verdict.verdict == "wait"} == {"people"}


def _is_touched(installation: Running, promotion_id: str) -> bool:
    deployment = installation.plane.promotions.get(promotion_id).deployment_id
    return deployment is not None and any(row.target for row in installation.plane.deployments.journal(deployment))


def _deployed_before_prod(installation: Running, release: Digest) -> None:
    for environment in ("dev", "staging"):
        asked = installation.plane.promotions.request(ACTOR, environment=environment, release_digest=release, reason="bench")
        _settled(installation, asked)


def _settled(installation: Running, asked: Promotion) -> None:
    def settled() -> bool:
        return installation.plane.promotions.get(asked.id).state in (PromotionState.DEPLOYED, PromotionState.REJECTED, PromotionState.FAILED)

    until(settled, "deployed")
    found = installation.plane.promotions.get(asked.id)
    if found.state is not PromotionState.DEPLOYED:
        raise RuntimeError(f"{found.release_label} into {found.environment}: {found.state}")


def _release(installation: Running, lab: Lab, version: str, commit: str | None) -> Digest:
    plane = installation.plane
    source = ReleaseSource(commit=commit)
    made = plane.releases.create(ACTOR, name="shop", version=version, images={"web": lab.images["v1"]}, registries=plane.registry, source=source, finalize=True)
    assert made.digest is not None
    if commit:
        plane.releases.attach_report(ACTOR, made.digest, (lab.reports / "v1.trivy.json").read_bytes())
    return made.digest
