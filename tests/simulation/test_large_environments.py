"""An environment of many targets ends like a small one: its packet has a line per target or counts them, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import stella_pipelines.evidence
from stella_pipelines.core import limits
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, LedgerRow, TargetObservation
from stella_pipelines.deployments.packet_size import EvidenceTooLarge, packet_bytes_bound, require_sealable
from stella_pipelines.environments.model import Rolling
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World
from tests.support.databases import Databases

TARGETS = 100
SCHEMAS = Path(stella_pipelines.evidence.__file__).parent / "predicates"


@pytest.fixture
def installation(databases: Databases) -> Iterator[Installation]:
    with databases.fresh("sqlite") as url:
        clock, store = SimulatedClock(), Store.open(url)
        installation = Installation(store, clock, World(clock))
        installation.apply(make_estate(TARGETS, Rolling(batch=64, pause_s=0.0)))
        yield installation
        store.close()


def packet_of(installation: Installation, record: DeploymentRecord) -> tuple[SealedPacket, dict[str, Any]]:
    assert record.packet_id is not None
    with installation.database.reading() as tx:
        packet, verified = read_verified(installation.evidence, tx, record.packet_id)
    schema = json.loads((SCHEMAS / f"{packet.kind}-v1.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(verified.statement.predicate)
    return packet, verified.statement.predicate


def enclosed(installation: Installation, said: dict[str, Any], name: str) -> list[Any]:
    digest = next(entry["digest"] for entry in said["inputs"] if entry["name"] == name)
    with installation.database.reading() as tx:
        found: list[Any] = json.loads(blobs.get(tx, Digest(digest)))
    return found


def test_the_packet_is_small_and_everything_is_reachable_from_it(installation: Installation) -> None:
    record = installation.deploy(installation.release("1"))
    packet, said = packet_of(installation, record)
    assert len(packet.envelope) < 300 * TARGETS + 8_000
    assert said["counts"] == {"succeeded": TARGETS}
    assert [line["target"] for line in said["targets"]] == sorted(installation.world.targets)
    assert [line["observed"] for line in said["targets"]] == [{"web": image("web", "1").digest}] * TARGETS
    assert said["observation"]["as_released"] is True
    ledger = [LedgerRow.model_validate(row) for row in enclosed(installation, said, "ledger")]
    assert ledger == installation.deployments.ledger(record.id)
    looks = [TargetObservation.model_validate(look) for look in enclosed(installation, said, "observation")]
    seen = installation.deployments.last_observation("prod")
    assert seen is not None
    assert looks == sorted(seen.targets, key=lambda look: look.target)
    artifacts = enclosed(installation, said, "artifacts")
    assert len(artifacts["targets"]) == TARGETS  # type: ignore[call-overload]  # a manifest, with each target's order and sticker


def test_a_deployment_ends_where_every_line_would_be_too_much(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit scaled down, so that a hundred targets are far too many for one packet."""
    installation.deploy(installation.release("1"))
    monkeypatch.setattr("stella_pipelines.deployments.sealing.LINES_BYTES_MAX", 4_000)
    record = installation.deploy(installation.release("2"))
    assert record.state is DeploymentState.SUCCEEDED
    packet, said = packet_of(installation, record)
    assert len(packet.envelope) < 8_000
    assert said["targets"] is None
    assert said["counts"] == {"succeeded": TARGETS}
    assert len(enclosed(installation, said, "ledger")) == TARGETS


def test_the_bound_holds_for_what_was_sealed(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.deploy(installation.release("1"))
    installation.world.unhealthy.add(image("web", "2").digest)
    record = installation.deploy(installation.release("2"))
    assert record.state is DeploymentState.ROLLED_BACK
    packet, _ = packet_of(installation, record)
    artifacts = installation.deployments.artifacts(record.id)
    assert artifacts is not None
    bound = packet_bytes_bound(artifacts, upstream=0)
    assert len(packet.envelope) < bound
    assert packet_bytes_bound(artifacts, upstream=10) > bound
    monkeypatch.setattr(limits, "PACKET_BYTES_MAX", bound)
    require_sealable(artifacts, upstream=0)
    monkeypatch.setattr(limits, "PACKET_BYTES_MAX", bound - 1)
    with pytest.raises(EvidenceTooLarge):
        require_sealable(artifacts, upstream=0)
