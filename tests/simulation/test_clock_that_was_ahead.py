"""The wall clock was hours ahead once and was then put right. What has effects on targets must still come to its end, sealed, and be undone."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import stella_pipelines.evidence
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import Rolling
from stella_pipelines.evidence.errors import ClockWentBack
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.store.database import Store
from tests.simulation.faults import Killed
from tests.simulation.installation import Installation, make_estate
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World

AHEAD_S = 7200.0
SCHEMAS = Path(stella_pipelines.evidence.__file__).parent / "predicates"


@pytest.fixture
def installation(store: Store) -> Installation:
    """Release 1 runs in prod, sealed by a clock that is right."""
    clock = SimulatedClock()
    made = Installation(store, clock, World(clock))
    made.apply(make_estate(2, Rolling(batch=1, pause_s=5.0)))
    assert made.deploy(made.release("1")).state is DeploymentState.SUCCEEDED
    return made


def clock_note(installation: Installation, packet_id: str | None) -> object:
    assert packet_id is not None
    with installation.database.reading() as tx:
        return read_verified(installation.evidence, tx, packet_id)[1].statement.predicate.get("clock")


def fits_its_schema(installation: Installation, packet_id: str | None) -> bool:
    assert packet_id is not None
    with installation.database.reading() as tx:
        _, verified = read_verified(installation.evidence, tx, packet_id)
    schema = json.loads((SCHEMAS / f"{verified.kind}-v1.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema).is_valid(verified.statement.predicate)


def numbers(installation: Installation) -> list[int]:
    with installation.database.reading() as tx:
        return [packet.sequence for packet in installation.evidence.after(tx, "environment/prod", 0, 100)]


def test_a_rollback_is_possible_after_a_clock_that_was_ahead(installation: Installation) -> None:
    installation.clock.jump_s = AHEAD_S
    assert installation.deploy(installation.release("2")).state is DeploymentState.SUCCEEDED
    installation.clock.jump_s = 0.0
    record = installation.rollback()
    assert (record.kind, record.state) == ("rollback", DeploymentState.SUCCEEDED)
    note = clock_note(installation, record.packet_id)
    assert isinstance(note, dict)
    assert fits_its_schema(installation, record.packet_id)
    assert AHEAD_S - 600 < note["behind_newest_packet_s"] <= AHEAD_S
    assert numbers(installation) == [1, 2, 3, 4, 5]


def test_a_deployment_that_was_decided_by_a_clock_ahead_still_ends(installation: Installation) -> None:
    installation.clock.jump_s = AHEAD_S
    promotion = installation.approve(installation.release("2"))
    installation.clock.jump_s = 0.0
    record = installation.run(promotion.id)
    assert record.state is DeploymentState.SUCCEEDED
    assert clock_note(installation, record.packet_id) is not None
    assert fits_its_schema(installation, record.packet_id)


def test_a_new_decision_waits_for_a_clock_that_is_right(installation: Installation) -> None:
    installation.clock.jump_s = AHEAD_S
    installation.deploy(installation.release("2"))
    installation.clock.jump_s = 0.0
    third = installation.release("3")
    with pytest.raises(ClockWentBack):
        installation.approve(third)
    assert numbers(installation) == [1, 2, 3, 4]


def test_a_lease_of_a_dead_process_whose_clock_was_ahead_does_not_keep_the_next_one_out(installation: Installation) -> None:
    promotion = installation.approve(installation.release("2"))
    installation.clock.jump_s = AHEAD_S
    mortal = installation.reborn(die_at=6)
    with pytest.raises(Killed):
        mortal.run(promotion.id, "the dead one")
    installation.clock.jump_s = 0.0
    record = installation.reborn().run(promotion.id, "the next one")
    assert record.state is DeploymentState.SUCCEEDED
