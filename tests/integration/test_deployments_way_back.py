"""The way back: on command, and when things are not simple: what died in its last moments, half a retry, another machine, a store that was restored."""

from __future__ import annotations

import json

import pytest

from stella_pipelines.connectors.port import TargetRefused
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import LEASE_TTL_S
from stella_pipelines.deployments.errors import NotProven, PlanIncomplete
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.errors import TargetUnknown
from stella_pipelines.environments.model import AllAtOnce, Rolling
from stella_pipelines.evidence import audit
from stella_pipelines.promotions.errors import EnvironmentUnknown
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.store.database import Store
from stella_pipelines.store.leases import LeaseHeld
from tests.simulation.faults import Killed, always, no_faults
from tests.simulation.installation import ALICE, Installation, image, make_estate
from tests.simulation.timeline import simulate
from tests.support.two_releases import packet_of, two_releases, versions


def running(installation: Installation) -> dict[str, Digest]:
    return {target: runs["web"][0] for target, runs in installation.world.runs().items() if "web" in runs}


def dead(installation: Installation, promotion_id: str, die_at: str) -> Installation:
    """The installation after a run died at a point and its lease has ended."""
    with pytest.raises(Killed):
        installation.reborn(die_at=die_at).run(promotion_id)
    installation.clock.monotonic_s += LEASE_TTL_S + 1
    return installation.reborn()


@pytest.mark.parametrize("die_at", ["before retire on host-1", "after retire on host-2"])
def test_a_deployment_that_died_when_it_was_through_is_rolled_back_all_the_same(store: Store, die_at: str) -> None:
    installation, v1, v2 = two_releases(store, 2, AllAtOnce())
    promotion = installation.approve(v2)
    survivor = dead(installation, promotion.id, die_at)
    record = survivor.rollback()
    assert (record.kind, record.state, record.release_digest) == ("rollback", DeploymentState.SUCCEEDED, v1)
    assert record.brought_back
    assert set(running(survivor).values()) == {image("web", "1").digest}
    assert survivor.promotions.get(promotion.id).state is PromotionState.DEPLOYED, "it was through; then it was rolled back"


def test_a_deployment_that_died_before_it_touched_anything_is_taken_back_and_that_is_no_failure(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    survivor = dead(installation, installation.approve(v2).id, "before prepare on host-2")
    record = survivor.rollback()
    assert (record.kind, record.state, record.brought_back) == ("promotion", DeploymentState.REFUSED, True)
    assert set(running(survivor).values()) == {image("web", "1").digest}


def test_a_rollback_that_is_refused_has_brought_nothing_back(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    installation.deploy(v2)
    installation.world.fault = always({("host-2", "prepare"): TargetRefused})
    record = installation.rollback()
    assert (record.kind, record.state, record.brought_back) == ("rollback", DeploymentState.REFUSED, False)


def test_half_a_retry_is_taken_back_to_what_ran_before_the_release_came(store: Store) -> None:
    """v2 stays on host-1 and fails on host-2; its retry dies half way. The way back is v1 on both, and not what the retry found."""
    installation, v1, v2 = two_releases(store, 2, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    failed = installation.deploy(v2)
    installation.world.fault = no_faults
    with pytest.raises(Killed):
        installation.reborn(die_at="after activate on host-2").retry(failed.id)
    installation.clock.monotonic_s += LEASE_TTL_S + 1
    survivor = installation.reborn()
    record = survivor.rollback()
    assert (record.kind, record.state, record.release_digest) == ("rollback", DeploymentState.SUCCEEDED, v1)
    assert set(running(survivor).values()) == {image("web", "1").digest}


# ---------------------------------------------------------------- a retry brings what was approved, or nothing


def test_a_retry_refuses_a_target_that_is_another_machine_now(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    failed = installation.deploy(v2)
    installation.world.fault = no_faults
    installation.world.target("host-2").platform = "linux/arm64"
    touches = len(installation.world.touches)
    with pytest.raises(PlanIncomplete, match="host-2: it was linux/amd64 when the deployment was approved"):
        installation.retry(failed.id)
    assert len(installation.world.touches) == touches


def test_a_retry_refuses_a_target_that_has_left(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    failed = installation.deploy(v2)
    installation.world.fault = no_faults
    installation.apply(make_estate(1, Rolling(batch=1), rollback_on_failure=False))
    with pytest.raises(PlanIncomplete, match="host-2: it has left the environment"):
        installation.retry(failed.id)


def test_a_retrys_sticker_and_evidence_name_the_same_decision(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    failed = installation.deploy(v2)
    installation.world.fault = no_faults
    assert installation.retry(failed.id).state is DeploymentState.SUCCEEDED
    started = installation.world.target("host-2").running("web")
    assert started is not None
    decision = json.loads(started.sticker)["decision"]
    assert failed.promotion_id is not None
    assert decision["packet_id"] == installation.promotions.get(failed.promotion_id).decision_packet


# ---------------------------------------------------------------- a store that was restored


def test_a_target_that_is_ahead_of_the_store_is_taken_over_by_a_person(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    installation.world.target("host-2").fence = 1000
    refused = installation.deploy(v2)
    assert refused.failure is not None
    assert refused.failure.code == "DEPLOY_FENCE_AHEAD"
    assert "stella take-over" in refused.failure.next_step

    taken = simulate(installation.clock, installation.deployments.take_over(ALICE, "host-2", "the database was restored"))
    assert (taken.seen_on_target, taken.was_needed) == (1000, True)
    assert installation.deploy(v2).state is DeploymentState.SUCCEEDED
    assert installation.world.target("host-2").fence > 1000
    with store.reading() as tx:
        (entry,) = [one for one in audit.list_entries(tx) if one.action == "target.take_over"]
    assert (entry.actor, entry.subject, entry.reason) == (ALICE, "target/host-2", "the database was restored")
    again = simulate(installation.clock, installation.deployments.take_over(ALICE, "host-2", "once more"))
    assert not again.was_needed


def test_a_target_is_not_taken_over_while_somebody_deploys_to_it_or_when_it_is_unknown(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    with pytest.raises(Killed):
        installation.reborn(die_at="after activate on host-2").run(installation.approve(v2).id)
    survivor = installation.reborn()
    with pytest.raises(LeaseHeld):
        simulate(survivor.clock, survivor.deployments.take_over(ALICE, "host-2", "now"))
    with pytest.raises(TargetUnknown, match="host-9"):
        simulate(survivor.clock, survivor.deployments.take_over(ALICE, "host-9", "now"))


# ---------------------------------------------------------------- rollback on command


def test_a_rollback_on_command_goes_to_the_release_before(store: Store) -> None:
    installation, v1, v2 = two_releases(store, 3, Rolling(batch=2))
    installation.deploy(v2)
    record = installation.rollback()
    assert (record.kind, record.state, record.release_digest) == ("rollback", DeploymentState.SUCCEEDED, v1)
    assert versions(installation) == {"1"}
    assert packet_of(installation, record)[0].kind == "rollback"
    assert installation.world.changing_most <= 2


def test_a_second_rollback_goes_one_further_back_and_never_forward(store: Store) -> None:
    installation, v1, v2 = two_releases(store, 1, AllAtOnce())
    installation.deploy(v2)
    installation.deploy(installation.release("3"))
    assert installation.rollback().release_digest == v2
    assert installation.rollback().release_digest == v1
    with pytest.raises(NotProven, match="no earlier"):
        installation.rollback()
    assert installation.rollback(v2).release_digest == v2
    assert installation.rollback().release_digest == v1


def test_a_rollback_brings_the_settings_back_that_were_proven(store: Store) -> None:
    """The estate was edited after v1 was proven. What comes back is what ran, and not v1 with settings that nobody ever tried it with."""
    installation, v1, v2 = two_releases(store, 2, AllAtOnce())
    installation.apply(make_estate(3, AllAtOnce(), variables={"MODE": "edited"}))
    installation.deploy(v2)
    record = installation.rollback()
    assert (record.state, record.release_digest) == (DeploymentState.SUCCEEDED, v1)
    modes = {name: found.spec.variables.get("MODE") for name in ("host-1", "host-2", "host-3") if (found := installation.world.target(name).running("web"))}
    assert modes == {"host-1": None, "host-2": None, "host-3": "edited"}, "host-3 never ran v1, so it gets what the estate says now"


def test_a_rollback_in_an_unknown_environment_says_so(store: Store) -> None:
    installation, _, _ = two_releases(store, 1, AllAtOnce())
    with pytest.raises(EnvironmentUnknown):
        installation.rollback(environment="nosuch")


def test_a_rollback_names_an_earlier_proven_release_or_is_refused(store: Store) -> None:
    installation, v1, v2 = two_releases(store, 1, AllAtOnce())
    never = installation.release("3")
    installation.deploy(v2)
    with pytest.raises(NotProven):
        installation.rollback(never)
    assert versions(installation) == {"2"}
    assert installation.rollback(v1).state is DeploymentState.SUCCEEDED
    assert versions(installation) == {"1"}


def test_a_rollback_of_the_only_release_is_refused(store: Store) -> None:
    installation, _, _ = two_releases(store, 1, AllAtOnce())
    with pytest.raises(NotProven, match="no earlier"):
        installation.rollback()


def test_a_rollback_takes_back_a_deployment_that_died(store: Store) -> None:
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1))
    promotion = installation.approve(v2)
    mortal = installation.reborn(die_at="after activate on host-2")
    with pytest.raises(Killed):
        mortal.run(promotion.id)
    assert versions(installation) == {"1", "2"}
    survivor = installation.reborn()
    with pytest.raises(LeaseHeld):
        survivor.rollback()
    survivor.clock.monotonic_s += LEASE_TTL_S
    record = survivor.rollback()
    assert record.state is DeploymentState.ROLLED_BACK
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_ABORTED"
    assert versions(installation) == {"1"}
    assert survivor.promotions.get(promotion.id).state is PromotionState.ROLLED_BACK
