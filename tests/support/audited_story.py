"""Everything that is ever written, done once with the real services: what the watch of the audit trail looks at, and what `audit check` is tried on.

Simulated targets and time; a layout folder in the place of a registry. What Dagster's rooms write besides is in `tests/dagster/`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stella_pipelines.connectors.port import TargetRefused
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import LEASE_TTL_S, PROMOTION_TTL_S
from stella_pipelines.core.references import ImageReference
from stella_pipelines.environments.model import AllAtOnce, ApprovalGateConfig, ApprovalGroup, Environment, Estate, Gate, Policy, PolicyGateConfig, Rolling
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.service import Exports
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.imports.service import Imports
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.promotions.dead_runs import DEAD_RUNS_MAX
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.store.database import Store
from tests.simulation.faults import Killed, always, no_faults
from tests.simulation.installation import ALICE, CountedIdentifiers, Installation, image, make_estate
from tests.simulation.timeline import simulate
from tests.support.evidence import signing_key
from tests.support.exports import unseen
from tests.support.oci import push_image
from tests.support.two_releases import two_releases

BOB, CYN = Actor(name="bob", via="test"), Actor(name="cyn", via="test")
REPORT = json.dumps({"SchemaVersion": 2, "ArtifactName": "web", "Results": []}).encode()


def releases(store: Store) -> None:
    """A release's whole life, and a draft that is discarded."""
    installation, _, _ = two_releases(store, 1, AllAtOnce())
    with tempfile.TemporaryDirectory() as folder:
        _releases(installation, LayoutRegistry(Path(folder)))


def _releases(installation: Installation, registry: LayoutRegistry) -> None:
    push_image(registry, "shop/api", "stable")
    images = {"api": ImageReference.parse("registry.test/shop/api:stable")}
    for version in ("1.0", "2.0"):
        installation.releases.create(ALICE, name="api", version=version, images=images, registries=lambda _: registry)
    installation.releases.discard(ALICE, "api", "2.0")
    digest = installation.releases.finalize(ALICE, "api", "1.0").digest
    assert digest is not None
    installation.releases.push(ALICE, digest, registry, "shop/releases", "registry.test")
    installation.releases.attach_report(BOB, digest, REPORT)
    installation.releases.deprecate(ALICE, digest, "superseded")
    installation.releases.archive(ALICE, digest, "leaks")


def gated(*groups: ApprovalGroup) -> Estate:
    """`make_estate` with an approval gate."""
    plain = make_estate(1, AllAtOnce())
    gate = Gate(name="sign_off", config=ApprovalGateConfig(groups=groups))
    return plain.model_copy(update={"environments": (Environment(name="prod", gates=(gate,), strategy=AllAtOnce()),)})


def promotions(store: Store) -> None:
    """Every way in which a promotion goes on or ends without a deployment."""
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    installation.apply(gated(ApprovalGroup(name="ops", members=("bob", "cyn"), required=1)))
    service = installation.promotions

    def waiting() -> Promotion:
        return installation.approve(v2)

    def killed_by(actor: Actor, promotion: Promotion, verdict: str) -> None:
        with pytest.raises(StellaError):
            service.approve(actor, promotion.id, verdict=verdict, reason="mine")  # type: ignore[arg-type]

    asked = waiting()
    killed_by(ALICE, asked, "approve")
    killed_by(ALICE, asked, "reject")
    service.approve(BOB, asked.id, verdict="reject", reason="no")
    installation.evaluate(asked.id)  # denied

    asked = waiting()
    service.reevaluate(asked.id)
    newest = service.get(asked.id)
    evaluation = service.begin_evaluation(newest.id, newest.attempt, None, {"code": "X", "what": "no plan", "next_step": "wait"})
    service.decide(evaluation.id)  # an error, which waits
    installation.clock.monotonic_s += 3600
    for promotion_id in service.due_for_reevaluation():
        service.reevaluate_if_due(promotion_id)
    begun = service.begin_evaluation(asked.id, service.get(asked.id).attempt, {"plan": 1})
    service.reevaluate(asked.id)
    service.decide(begun.id)  # superseded
    service.cancel(ALICE, asked.id, "changed my mind")

    asked = service.request(ALICE, environment="prod", release_digest=v2, reason="again")
    plan = simulate(installation.clock, installation.deployments.plan("prod", v2))
    evaluation = service.begin_evaluation(asked.id, 1, plan.document())
    service.evaluate_gate(evaluation.id, "sign_off")
    installation.apply(gated(ApprovalGroup(name="ops", members=("bob", "cyn", "dan"), required=1)))
    service.decide(evaluation.id)  # stale
    for _ in range(DEAD_RUNS_MAX):
        service.run_died(service.get(asked.id), None, "its run died")
    installation.clock.monotonic_s += PROMOTION_TTL_S + 1
    service.expire_due()

    asked = waiting()
    service.approve(CYN, asked.id, reason="yes")
    approved = installation.evaluate(asked.id)
    service.run_died(approved, None, "its run died")
    service.deploy_again(approved.id, ALICE, "a person asked for a new run")


def deployments(store: Store) -> None:
    """A deployment that is refused because the plan has changed, then succeeds; a rollback on command; a target that is taken over."""
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    promotion = installation.approve(v2)
    installation.apply(make_estate(2, AllAtOnce(), variables={"MODE": "other"}))
    installation.run(promotion.id)
    installation.promotions.reevaluate(promotion.id)
    installation.evaluate(promotion.id)
    with pytest.raises(Killed):
        installation.reborn(die_at="after activate on host-2").run(promotion.id)
    installation.clock.monotonic_s += LEASE_TTL_S + 1
    survivor = installation.reborn()
    survivor.run(promotion.id)
    survivor.rollback()
    simulate(survivor.clock, survivor.deployments.observe("prod"))
    simulate(survivor.clock, survivor.deployments.take_over(ALICE, "host-2", "the database was restored"))


def failures(store: Store) -> None:
    """A deployment that fails and is retried, one that goes back by itself, and one whose way back fails."""
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    failed = installation.deploy(v2)
    installation.world.fault = no_faults
    installation.retry(failed.id)
    installation.apply(make_estate(3, Rolling(batch=1)))
    installation.world.unhealthy.add(image("web", "3").digest)
    installation.deploy(installation.release("3"))
    installation.world.fault = always({("host-1", "restore"): TargetRefused})
    installation.deploy(Digest(installation.releases.get("shop", "3").digest or ""))


def overrides(store: Store) -> None:
    """A gate that is overruled by two people and reviewed afterwards, with a refused try of each step."""
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    gate = Gate(name="never", config=PolicyGateConfig(policy="never", overridable_by=("bob", "cyn")))
    gated_one = Environment(name="prod", gates=(gate,), strategy=AllAtOnce())
    installation.apply(make_estate(1, AllAtOnce()).model_copy(update={"environments": (gated_one,), "policies": (Policy(name="never", cel="false"),)}))
    rejected, overriding = installation.approve(v2), installation.promotions.overriding
    with pytest.raises(StellaError):
        overriding.ask(ALICE, rejected.id, "never", "mine")
    asked = overriding.ask(BOB, rejected.id, "never", "customers are waiting")
    with pytest.raises(StellaError):
        overriding.confirm(BOB, asked.id)
    overriding.confirm(CYN, asked.id)
    installation.deploy(v2)
    with pytest.raises(StellaError):
        overriding.review(BOB, asked.id, "mine")
    overriding.review(CYN, asked.id, "the policy was wrong")


def drift(store: Store) -> None:
    """Somebody takes a component away past us, then another one, and puts them back."""
    installation, _, _ = two_releases(store, 2, AllAtOnce())
    kept = {name: dict(installation.world.target(name).instances) for name in ("host-1", "host-2")}
    for name in kept:
        installation.world.target(name).instances.clear()
        simulate(installation.clock, installation.deployments.observe("prod"))
    for name, instances in kept.items():
        installation.world.target(name).instances.update(instances)
    simulate(installation.clock, installation.deployments.observe("prod"))


def imports(store: Store) -> None:
    """Another installation's evidence is exported, and imported into this one."""
    with tempfile.TemporaryDirectory() as folder:
        elsewhere, file = Store.open(f"sqlite:///{folder}/elsewhere.db"), Path(folder) / "audit.zip"
        other, _, _ = two_releases(elsewhere, 1, AllAtOnce())
        key, identifiers = signing_key(), CountedIdentifiers(2)
        exports = Exports(elsewhere, other.evidence, Log(elsewhere, key, other.clock), key, other.clock, identifiers)
        exports.export(ALICE, Question(), file, unseen, artifacts=True, tables=False)
        Imports(store, other.clock, identifiers).take(CYN, file, Trust.of([key.public_pem]), unseen, reason="handed over")
        elsewhere.close()


PARTS: dict[str, Callable[[Store], None]] = {
    "releases": releases,
    "promotions": promotions,
    "deployments": deployments,
    "failures": failures,
    "overrides": overrides,
    "drift": drift,
    "imports": imports,
}
