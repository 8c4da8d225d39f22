"""What the packet of a deployment says about its targets, how large that becomes, and that it is known before anything begins."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from stella_pipelines.connectors.port import Health, Observation, RunningComponent
from stella_pipelines.core import limits
from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import enclosures as enclosing
from stella_pipelines.deployments.enclosures import enclosures
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.model import LedgerRow, TargetObservation, TargetState
from stella_pipelines.deployments.sealing import LINES_BYTES_MAX, target_lines

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
IMAGE = Digest.of(b"image")
FAILURE = Failure(code="DEPLOY_UNHEALTHY", what="web did not become healthy", unchanged="-", next_step="-", target="host-1")


def row(number: int, components: int = 1, failure: Failure | None = None) -> LedgerRow:
    wanted = {f"component_{name}": IMAGE for name in range(components)}
    state = TargetState.FAILED if failure else TargetState.SUCCEEDED
    return LedgerRow(
        deployment_id="dep_1",
        target=f"host-{number:05}",
        state=state,
        stage="retired",
        desired=wanted,
        previous=dict(wanted),
        observed=dict(wanted),
        failure=failure,
    )


def look(number: int) -> TargetObservation:
    running = RunningComponent(
        component="web",
        platform_digest=IMAGE,
        config_digest=None,
        runtime_id="1",
        deployment_id="dep_1",
        release_digest=None,
        running=True,
        health=Health.HEALTHY,
    )
    seen = Observation(target=f"host-{number:05}", observed_at=NOW, components=(running,))
    return TargetObservation(target=seen.target, observation=seen, as_released=True, healthy=True)


def test_a_targets_line_says_what_it_showed_and_why_it_failed() -> None:
    assert target_lines([row(1, failure=FAILURE)]) == [
        {"target": "host-00001", "state": "failed", "observed": {"component_0": IMAGE}, "failure": "DEPLOY_UNHEALTHY"}
    ]


def test_the_lines_of_the_largest_estate_fit_into_half_a_packet() -> None:
    lines = target_lines([row(number, components=5) for number in range(limits.TARGETS_MAX)])
    assert lines is not None
    assert len(lines) == limits.TARGETS_MAX
    packet_bytes = len(canonical_json(lines)) * 4 // 3
    print(f"{limits.TARGETS_MAX} targets of 5 components: {packet_bytes:,} bytes of packet")
    assert packet_bytes < limits.PACKET_BYTES_MAX / 2
    assert LINES_BYTES_MAX * 4 // 3 < limits.PACKET_BYTES_MAX / 2


def test_lines_that_are_too_large_are_left_out_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(number) for number in range(10)]
    fits = len(canonical_json(target_lines(rows)))
    monkeypatch.setattr("stella_pipelines.deployments.sealing.LINES_BYTES_MAX", fits)
    assert target_lines(rows) is not None
    monkeypatch.setattr("stella_pipelines.deployments.sealing.LINES_BYTES_MAX", fits - 1)
    assert target_lines(rows) is None


def test_the_ledger_and_the_look_are_enclosed_in_full() -> None:
    rows, looks = [row(1, failure=FAILURE), row(2)], [look(2), look(1)]
    ledger, observation = enclosures(rows, looks)
    assert (ledger.name, observation.name) == ("ledger", "observation")
    assert ledger.content == canonical_json([one.document() for one in rows])
    assert observation.content == canonical_json([one.document() for one in (look(1), look(2))])
    assert ledger.digest == Digest.of(ledger.content)


def test_what_is_too_large_for_one_blob_becomes_several_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(number) for number in range(7)]
    monkeypatch.setattr(enclosing, "PART_BYTES_MAX", 3 * len(rows[0].canonical()) + 2)
    parts = [part for part in enclosures(rows, []) if part.name != "observation"]
    assert [part.name for part in parts] == ["ledger/1", "ledger/2", "ledger/3"]
    assert [LedgerRow.model_validate(entry) for part in parts for entry in json.loads(part.content)] == rows
    monkeypatch.setattr(enclosing, "PART_BYTES_MAX", 1)
    assert len(enclosures(rows, [look(1)])) == 7 + 1


def test_no_targets_are_an_empty_list() -> None:
    assert [(part.name, part.content) for part in enclosures([], [])] == [("ledger", b"[]"), ("observation", b"[]")]
