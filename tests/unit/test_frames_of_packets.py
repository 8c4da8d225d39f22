"""The frames of decisions, gates and deployments: their types, their cells, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import pytest

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.columns import DTYPES, Column, Table, empty
from stella_pipelines.evidence.frames.decisions import DECISIONS, GATES, decisions, gates
from stella_pipelines.evidence.frames.deployments import DEPLOYMENTS, deployments
from stella_pipelines.evidence.frames.errors import PacketUnverified
from stella_pipelines.evidence.frames.lineage import LINEAGE, lineage
from stella_pipelines.evidence.frames.runs import RUNS, runs, where
from stella_pipelines.evidence.frames.tables import tables
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.verify import VerifiedPacket
from stella_pipelines.promotions.affected import AFFECTED, affected
from tests.support.evidence import NOW, genuine_packet
from tests.support.told_packets import deployment, packet, some

Frame = Callable[[Iterable[VerifiedPacket]], pd.DataFrame]
FRAMES: dict[str, tuple[Frame, tuple[Column, ...]]] = {
    "decisions": (decisions, DECISIONS),
    "gates": (gates, GATES),
    "deployments": (deployments, DEPLOYMENTS),
    "runs": (runs, RUNS),
    "affected": (lambda source: affected(source, "CVE-1", nothing), AFFECTED),
}
SOME_PACKETS = [deployment(1, "v1", {"a": ("succeeded", {"web": "web:1"})}, ["web:1"])]


def nothing(digest: Digest) -> bytes:
    raise AssertionError("nothing is read")


def decision(sequence: int = 1, environment: str = "prod", **more: Any) -> VerifiedPacket:
    """A denied decision with two gates."""
    told = [
        {"name": "owners", "kind": "approval", "verdict": "wait", "reasons": ["0 of 1."], "would_change": [], "inputs": some("owners")},
        {
            "name": "scan",
            "kind": "security",
            "verdict": "deny",
            "reasons": ["critical: 1.", "high: 0."],
            "would_change": ["Repair it."],
            "inputs": some("scan"),
        },
    ]
    record = {
        "outcome": "deny",
        "environment": environment,
        "release": {"name": "shop-1.0.0", "digest": some("release")},
        "promotion_id": "prm_1",
        "attempt": 2,
        "requested_by": {"name": "alice", "kind": "human", "via": "cli"},
        "reason": "weekly",
        "approvers": ["ann", "bob"],
        "gates": told,
        "ungated": False,
        "rules": "stella-rules/1",
        "plan_digest": some("plan"),
        **more,
    }
    times = dict.fromkeys(("requested_at", "begun_at", "decided_at"), format_instant(NOW))
    return packet(
        "decision", f"environment/{environment}", sequence, {"decision": record, "times": times}, [Subject(name="shop-1.0.0", digest=some("release"))]
    )


@pytest.mark.parametrize("name", FRAMES)
def test_an_empty_frame_has_the_columns_and_types_of_a_full_one(name: str) -> None:
    make, columns = FRAMES[name]
    found = make([])
    assert len(found) == 0
    assert {column.name: DTYPES[column.kind] for column in columns} == {name: str(dtype) for name, dtype in found.dtypes.items()}


@pytest.mark.parametrize("name", [name for name in FRAMES if name != "affected"])
def test_a_full_frame_has_the_types_that_its_columns_say(name: str) -> None:
    make, columns = FRAMES[name]
    found = make([decision(), *[deployment(2, "v1", {"a": ("succeeded", {"web": "web:1"})})]])
    assert len(found) > 0
    assert {column.name: DTYPES[column.kind] for column in columns} == {name: str(dtype) for name, dtype in found.dtypes.items()}


def test_every_column_says_what_it_means_once() -> None:
    for columns in (DECISIONS, GATES, DEPLOYMENTS, RUNS, LINEAGE, AFFECTED):
        assert len({column.name for column in columns}) == len(columns)
        assert all(column.about for column in columns)


def test_a_denied_decision() -> None:
    (row,) = decisions([decision()]).to_dict("records")
    assert (row["outcome"], row["denied_by"], row["approvers"], row["approver_count"], row["gate_count"]) == ("deny", "scan", "ann, bob", 2, 2)
    assert (row["environment"], row["sequence"], row["attempt"], row["ungated"]) == ("prod", 1, 2, False)
    assert row["decided_at"] == pd.Timestamp(NOW)


def test_what_each_gate_said() -> None:
    found = gates([decision()])
    assert found[["position", "gate", "verdict"]].to_numpy().tolist() == [[1, "owners", "wait"], [2, "scan", "deny"]]
    assert found["reasons"][1] == "critical: 1.\nhigh: 0."
    assert found["inputs_digest"][1] == some("scan")


def test_a_deployment_and_how_its_targets_ended() -> None:
    told = packet(
        "deployment",
        "environment/prod",
        4,
        {
            "deployment": {
                "id": "dep_1", "sequence": 3, "kind": "retry", "state": "failed", "retry_of": "dep_0", "attempt": 2,
                "started_at": format_instant(NOW), "ended_at": "2026-01-31T09:00:01.500000Z", "actor": {"name": "bob"},
            },
            "release": {"label": "shop-1", "digest": some("release")},
            "failure": {"code": "DEPLOY_UNHEALTHY", "what": "It is not healthy."},
            "counts": {"succeeded": 2, "failed": 1},
            "observation": {"healthy": False, "as_released": True},
        },
    )  # fmt: skip
    (row,) = deployments([told]).to_dict("records")
    assert (row["kind"], row["state"], row["retry_of"], row["attempt"], row["duration_s"], row["actor"]) == ("retry", "failed", "dep_0", 2, 1.5, "bob")
    assert (row["target_count"], row["targets_succeeded"], row["targets_failed"], row["targets_untouched"]) == (3, 2, 1, 0)
    assert (row["failure_code"], row["healthy"], row["as_released"]) == ("DEPLOY_UNHEALTHY", False, True)


@pytest.mark.parametrize(
    "hostile",
    [
        {"decision": []},
        {"decision": {"gates": {"a": 1}, "approvers": "ann", "attempt": True, "release": [], "requested_by": None, "outcome": 7}},
        {"decision": {"gates": [None, 3, "x", {"name": 5, "verdict": {}}], "attempt": -1.5, "release": {"digest": "sha256:x"}}},
        {"decision": {}, "times": {"decided_at": "9999-12-31T00:00:00.000000Z", "begun_at": "never", "requested_at": "0001-01-01T00:00:00.000000+14:00"}},
    ],
)
def test_members_of_other_types_are_unknown(hostile: dict[str, Any]) -> None:
    found = [packet("decision", "environment/prod", 1, hostile)]
    (row,) = decisions(found).to_dict("records")
    assert pd.isna(row["release_digest"])
    assert pd.isna(row["decided_at"])
    assert len(gates(found)) <= 1
    assert len(deployments([packet("deployment", "environment/prod", 1, {"deployment": hostile, "counts": [], "targets": [1, {}], "failure": 3})])) == 1
    assert len(runs([packet("deployment", "environment/prod", 1, {"deployment": 3, "targets": [1, {"target": 5, "observed": {"web": 9}}]})])) == 0


@pytest.mark.parametrize("unverified", [genuine_packet(), {"kind": "decision"}, None, "evd_1"])
def test_what_was_not_verified_is_refused(unverified: Any) -> None:
    about_a_digest: list[Frame] = [lambda source: where(source, some("v1")), lambda source: lineage(source, some("v1"))]
    for make in (*(make for make, _ in FRAMES.values()), *about_a_digest):
        with pytest.raises(PacketUnverified, match="verified packets"):
            make([*SOME_PACKETS, unverified])


def test_all_frames_in_one_pass_are_those_of_several() -> None:
    packets = [decision(), *SOME_PACKETS]
    found = tables(iter(packets))
    assert set(found) == {"decisions", "gates", "deployments", "runs"}
    for name, frame in found.items():
        pd.testing.assert_frame_equal(frame, FRAMES[name][0](packets))


def test_a_packet_that_comes_twice_counts_once() -> None:
    assert len(decisions([decision(), decision()])) == 1


def test_a_row_needs_every_cell_and_no_other() -> None:
    table = Table(DECISIONS[:2])
    with pytest.raises(ValueError, match="exactly"):
        table.add({"packet_id": "evd_1"})
    with pytest.raises(ValueError, match="exactly"):
        table.add({"packet_id": "evd_1", "packet_digest": "", "more": 1})
    assert len(table.frame()) == 0


def test_times_before_1678_and_after_2261_are_no_times_of_a_frame() -> None:
    assert empty(DECISIONS)["decided_at"].dtype == "datetime64[ns, UTC]"
    found = decisions([packet("decision", "environment/prod", 1, {"decision": {}, "times": {"decided_at": "2261-01-01T00:00:00.000000Z"}})])
    assert found["decided_at"][0].year == 2261
