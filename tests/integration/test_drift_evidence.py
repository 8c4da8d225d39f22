"""Drift is sealed when it is found, when it changes and when it is over, and never on a look that says nothing new."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stella_pipelines.connectors.port import TargetRefused
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import drift
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import AllAtOnce
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from tests.simulation.faults import always
from tests.simulation.installation import Installation, image
from tests.simulation.timeline import SimulatedClock, simulate
from tests.support.example_packets import opened
from tests.support.predicate_schemas import require_every_packet_fits
from tests.support.two_releases import two_releases

FOREIGN = Digest.of(b"somebody else's image")


def look(installation: Installation) -> None:
    installation.clock.monotonic_s += 60
    simulate(installation.clock, installation.deployments.observe("prod"))


def replace(installation: Installation, target: str, digest: Digest = FOREIGN) -> None:
    """Somebody runs another image on the target, past us."""
    for instance in installation.world.target(target).instances.values():
        if instance.running:
            instance.spec = instance.spec.model_copy(update={"platform_digest": digest})


def repair(installation: Installation, target: str, version: str = "1") -> None:
    replace(installation, target, image("web", version).digest)


def sealed(installation: Installation) -> list[Statement]:
    """The drift packets, oldest first, each verified."""
    return [opened(packet).statement for packet in packets(installation)]


def packets(installation: Installation) -> list[SealedPacket]:
    with installation.database.reading() as tx:
        return installation.evidence.list(tx, environment="prod", kind="drift", limit=1000)[::-1]


def states(installation: Installation) -> list[str]:
    return [statement.predicate["drift"]["state"] for statement in sealed(installation)]


def found(statement: Statement) -> list[tuple[str, str | None]]:
    return [(finding["target"], finding["observed"]) for finding in statement.predicate["findings"]]


def test_one_packet_when_it_is_found_one_when_it_changes_and_one_when_it_is_over(store: Store) -> None:
    installation, v1, _ = two_releases(store, 2, AllAtOnce())
    look(installation)
    assert states(installation) == []
    replace(installation, "host-1")
    look(installation)
    look(installation)
    assert states(installation) == ["found"]
    replace(installation, "host-2")
    look(installation)
    repair(installation, "host-1")
    look(installation)
    repair(installation, "host-2")
    look(installation)
    look(installation)
    assert states(installation) == ["found", "changed", "changed", "over"]
    assert "drift" in require_every_packet_fits(store, installation.evidence)
    first, more, less, last = sealed(installation)
    assert [found(one) for one in (first, more, less, last)] == [
        [("host-1", FOREIGN)],
        [("host-1", FOREIGN), ("host-2", FOREIGN)],
        [("host-2", FOREIGN)],
        [],
    ]
    assert more.predicate["findings"][0] == first.predicate["findings"][0], "found at its first look"
    assert {one.predicate["times"]["began_at"] for one in (first, more, less, last)} == {first.predicate["times"]["observed_at"]}
    assert [(one.name, one.digest) for one in first.subject] == [
        ("release/shop-1", v1),
        (f"image/registry.test/shop/web@{image('web', '1').digest}", image("web", "1").digest),
        (f"unexpected/{FOREIGN}", FOREIGN),
    ]


def test_each_names_the_deployments_packet_and_the_packet_before(store: Store) -> None:
    installation, _, _ = two_releases(store, 1, AllAtOnce())
    replace(installation, "host-1")
    look(installation)
    repair(installation, "host-1")
    look(installation)
    first, second = packets(installation)
    with store.reading() as tx:
        (deployment,) = installation.evidence.list(tx, environment="prod", kind="deployment")
        inputs = {one.name: one.digest for one in opened(second).statement.inputs}
        assert inputs == {"findings": Digest.of(b"[]"), "deployment": deployment.digest, "earlier": first.digest}
        listed = {one.name: one.digest for one in opened(first).statement.inputs}
        assert FOREIGN.encode() in blobs.get(tx, listed["findings"])
    assert set(listed) == {"findings", "deployment"}
    assert opened(first).statement.predicate["deployment"]["packet_id"] == deployment.id


def test_what_is_not_known_is_no_drift(store: Store) -> None:
    installation, _, _ = two_releases(store, 2, AllAtOnce())
    installation.world.fault = always({("host-1", "observe"): TargetRefused})
    look(installation)
    assert states(installation) == []
    replace(installation, "host-2")
    look(installation)
    (only,) = sealed(installation)
    assert found(only) == [("host-2", FOREIGN)]
    assert only.predicate["counts"] == {"components": 1, "targets": 1, "unknown_targets": 1, "targets_not_compared": 0}


def test_a_finding_stays_while_its_target_does_not_answer(store: Store) -> None:
    installation, _, _ = two_releases(store, 2, AllAtOnce())
    replace(installation, "host-1")
    look(installation)
    installation.world.fault = always({("host-1", "observe"): TargetRefused})
    repair(installation, "host-1")
    look(installation)
    assert states(installation) == ["found"]


def test_a_component_that_is_gone_is_drift(store: Store) -> None:
    installation, _, _ = two_releases(store, 1, AllAtOnce())
    installation.world.target("host-1").instances.clear()
    look(installation)
    (only,) = sealed(installation)
    (finding,) = only.predicate["findings"]
    assert (finding["running"], finding["observed"], finding["wanted"]) == (False, None, image("web", "1").digest)


def test_the_next_deployment_ends_a_drift_and_the_next_look_says_so(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce(), rollback_on_failure=False)  # there is no way back to an image that is not ours
    replace(installation, "host-1")
    look(installation)
    assert installation.deploy(v2).state is DeploymentState.SUCCEEDED
    assert states(installation) == ["found"]
    look(installation)
    assert states(installation) == ["found", "over"]
    assert sealed(installation)[1].subject[0].digest == v2


def test_what_a_failed_deployment_left_is_its_own_packets_to_tell(store: Store) -> None:
    """It is not called drift: nobody acted past us."""
    installation, _, v2 = two_releases(store, 2, AllAtOnce(), rollback_on_failure=False)
    installation.world.unhealthy.add(image("web", "2").digest)
    assert installation.deploy(v2).state is DeploymentState.FAILED
    look(installation)
    seen = installation.deployments.last_observation("prod")
    assert seen is not None
    assert not seen.as_released
    assert states(installation) == []


def test_more_findings_than_a_packet_holds_are_counted_and_stay_in_the_list(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "LINES_BYTES_MAX", 100)
    monkeypatch.setattr(drift, "UNEXPECTED_SUBJECTS_MAX", 0)
    installation, _, _ = two_releases(store, 2, AllAtOnce())
    replace(installation, "host-1")
    look(installation)
    (only,) = sealed(installation)
    predicate: dict[str, Any] = only.predicate
    assert (predicate["findings"], predicate["counts"]["components"]) == (None, 1)
    assert "drift" in require_every_packet_fits(store, installation.evidence)
    assert [one.name.partition("/")[0] for one in only.subject] == ["release", "image"]


def test_two_looks_at_once_tell_of_a_drift_once(store: Store) -> None:
    installation, _, _ = two_releases(store, 1, AllAtOnce())
    replace(installation, "host-1")
    others = [Installation(store, SimulatedClock(), installation.world, seed=seed) for seed in (7, 8, 9)]
    for other in others:
        other.clock.monotonic_s = installation.clock.monotonic_s + 60
    with ThreadPoolExecutor(len(others)) as threads:
        list(threads.map(look, others))
    assert states(installation) == ["found"]
