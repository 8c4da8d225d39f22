"""From the packets of deployments and drifts to spans of time: what ran where, and how wide that is."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.errors import DigestUnknown, FactsDamaged, FactsMissing
from stella_pipelines.evidence.frames.runs import RUNS, runs, where
from stella_pipelines.evidence.verify import VerifiedPacket
from tests.support.told_packets import at, deployment, drift, line, some

WEB1, WEB2, WEB3 = "web:1", "web:2", "web:3"


def story(packets: list[VerifiedPacket], component: str = "web") -> list[tuple[Any, ...]]:
    """Target, image, release, proof, from, until and how it ended, in their order."""
    names = {some(name): name for name in (WEB1, WEB2, WEB3, "strange", "worker:1")}
    frame = runs(packets)
    frame = frame[(frame["component"] == component) | frame["component"].isna()]
    return [
        (row.target, names[Digest(str(row.digest))], *(_known(cell) for cell in (row.release, row.proof, row.since, row.until, row.ended)))
        for row in frame.itertuples()
    ]


def _known(cell: Any) -> Any:
    return None if pd.isna(cell) else cell


def hour(number: float) -> datetime:
    return at(number)


def test_a_new_release_ends_the_one_before() -> None:
    packets = [deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}), deployment(3, "v2", {"a": ("succeeded", {"web": WEB2})})]
    assert story(packets) == [
        ("a", WEB1, "v1", "shown", hour(0.5), hour(3), "replaced"),
        ("a", WEB2, "v2", "shown", hour(2.5), None, None),
    ]


def test_the_same_image_in_two_releases_is_two_spans_that_touch() -> None:
    packets = [deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}), deployment(3, "v2", {"a": ("succeeded", {"web": WEB1})})]
    assert story(packets) == [
        ("a", WEB1, "v1", "shown", hour(0.5), hour(3), "replaced"),
        ("a", WEB1, "v2", "shown", hour(2.5), None, None),
    ]


def test_the_same_release_again_changes_nothing() -> None:
    packets = [deployment(number, "v1", {"a": ("succeeded", {"web": WEB1})}) for number in (1, 2, 3)]
    assert story(packets) == [("a", WEB1, "v1", "shown", hour(0.5), None, None)]


def test_a_deployment_that_went_back_may_have_run_and_leaves_what_was_there() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1}), "b": ("succeeded", {"web": WEB1})}),
        deployment(3, "v2", {"a": ("rolled_back", {"web": WEB1}), "b": ("untouched", {"web": WEB1})}, [WEB2], state="rolled_back"),
    ]
    assert story(packets) == [
        ("a", WEB1, "v1", "shown", hour(0.5), None, None),
        ("a", WEB2, "v2", "possible", hour(2.5), hour(3), "replaced"),
        ("b", WEB1, "v1", "shown", hour(0.5), None, None),
    ]


def test_a_target_that_does_not_answer_may_run_the_new_image_until_it_does() -> None:
    silent = deployment(3, "v2", {"a": ("failed", {})}, [WEB2], state="failed")
    before = [deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}), silent]
    assert story(before) == [("a", WEB1, "v1", "shown", hour(0.5), None, None), ("a", WEB2, "v2", "possible", hour(2.5), None, None)]
    after = [*before, deployment(5, "v3", {"a": ("succeeded", {"web": WEB3})}, [WEB3])]
    assert story(after) == [
        ("a", WEB1, "v1", "shown", hour(0.5), hour(5), "replaced"),
        ("a", WEB2, "v2", "possible", hour(2.5), hour(5), "settled"),
        ("a", WEB3, "v3", "shown", hour(4.5), None, None),
    ]


def test_a_retry_is_about_the_failed_targets_only() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1}), "b": ("failed", {"web": None})}, [WEB1], state="failed"),
        deployment(2, "v1", {"b": ("succeeded", {"web": WEB1})}, [WEB1], kind="retry"),
    ]
    assert story(packets) == [
        ("a", WEB1, "v1", "shown", hour(0.5), None, None),
        ("b", WEB1, "v1", "possible", hour(0.5), hour(1), "replaced"),
        ("b", WEB1, "v1", "shown", hour(1.5), None, None),
    ]


def test_a_target_that_leaves_the_environment_is_not_looked_at_any_more() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1}), "b": ("succeeded", {"web": WEB1})}),
        deployment(3, "v2", {"a": ("succeeded", {"web": WEB2})}),
    ]
    assert ("b", WEB1, "v1", "shown", hour(0.5), hour(3), "left") in story(packets)


def test_a_rollback_on_command_brings_the_earlier_release() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}),
        deployment(2, "v2", {"a": ("succeeded", {"web": WEB2})}),
        deployment(3, "v1", {"a": ("succeeded", {"web": WEB1})}, kind="rollback"),
    ]
    assert [(image, release, until) for _, image, release, _, _, until, _ in story(packets)] == [
        (WEB1, "v1", hour(2)),
        (WEB2, "v2", hour(3)),
        (WEB1, "v1", None),
    ]


def test_a_component_that_a_release_does_not_have_goes_on() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1, "worker": "worker:1"})}),
        deployment(2, "v2", {"a": ("succeeded", {"web": WEB2})}),
    ]
    assert [(row[1], row[-1]) for row in story(packets, "worker")] == [("worker:1", None)]


def test_a_component_that_shows_nothing_is_gone() -> None:
    packets = [deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}), deployment(2, "v2", {"a": ("failed", {"web": None})}, state="failed")]
    assert story(packets) == [("a", WEB1, "v1", "shown", hour(0.5), hour(2), "gone")]


def test_what_was_there_before_the_first_packet_has_no_beginning() -> None:
    packets = [deployment(7, "v2", {"a": ("rolled_back", {"web": WEB1})}, [WEB2], state="rolled_back")]
    assert story(packets) == [("a", WEB1, None, "shown", None, None, None), ("a", WEB2, "v2", "possible", hour(6.5), hour(7), "replaced")]


def test_a_drift_shows_what_ran_instead_until_it_is_over() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}),
        drift(2, "v1", {("a", "web"): (WEB1, "strange")}),
        drift(4, "v1", {}),
    ]
    assert story(packets) == [
        ("a", WEB1, "v1", "shown", hour(0.5), hour(2), "replaced"),
        ("a", "strange", None, "drift", hour(2), hour(4), "replaced"),
        ("a", WEB1, "v1", "shown", hour(4), None, None),
    ]


def test_a_drift_ends_with_the_next_deployment() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}),
        drift(2, "v1", {("a", "web"): (WEB1, None)}),
        deployment(3, "v2", {"a": ("succeeded", {"web": WEB2})}),
        drift(4, "v2", {}),
    ]
    assert story(packets) == [
        ("a", WEB1, "v1", "shown", hour(0.5), hour(2), "gone"),
        ("a", WEB2, "v2", "shown", hour(2.5), None, None),
    ]


def test_two_environments_do_not_touch_each_other() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}, environment="dev"),
        deployment(1, "v2", {"a": ("succeeded", {"web": WEB2})}, environment="prod"),
    ]
    frame = runs(packets)
    assert list(zip(frame["environment"], frame["digest"], frame["until"].isna(), strict=True)) == [("dev", some(WEB1), True), ("prod", some(WEB2), True)]


# ---------------------------------------------------------------- lines that stand in a blob


def test_lines_that_are_too_many_for_a_packet_are_read_from_its_ledger() -> None:
    parts = [json.dumps([line(name, "succeeded", {"web": WEB1})]).encode() for name in ("a", "b")]
    content = {Digest.of(part): part for part in parts}
    inputs = [{"name": f"ledger/{number}", "digest": digest} for number, digest in enumerate(content, start=1)]
    large = deployment(1, "v1", None, inputs=inputs)
    assert list(runs([large], content.__getitem__)["target"]) == ["a", "b"]
    with pytest.raises(FactsMissing, match="read_blob"):
        runs([large])
    with pytest.raises(FactsDamaged, match="other bytes"):
        runs([large], lambda digest: b"[]")
    broken = deployment(1, "v1", None, inputs=[{"name": "ledger", "digest": Digest.of(b"[")}])
    with pytest.raises(FactsDamaged, match="not JSON"):
        runs([broken], lambda digest: b"[")


# ---------------------------------------------------------------- where


def test_where_a_digest_runs_and_ran() -> None:
    packets = [
        deployment(1, "v1", {"a": ("succeeded", {"web": WEB1})}, [WEB1]),
        deployment(2, "v2", {"a": ("succeeded", {"web": WEB2})}, [WEB2]),
        deployment(3, "v1", {"b": ("succeeded", {"web": WEB1})}, [WEB1], environment="dev"),
    ]
    of_image, of_release, of_packet = where(packets, some(WEB1)), where(packets, some("v1")), where(packets, packets[0].packet_digest)
    assert list(of_image["environment"]) == ["dev", "prod"]
    assert list(of_image["until"].isna()) == [True, False]
    pd.testing.assert_frame_equal(of_image, of_release)
    pd.testing.assert_frame_equal(of_release, of_packet)
    assert where(packets, some(WEB2))["target"].tolist() == ["a"]


def test_a_digest_that_nothing_names_is_an_error_and_no_empty_frame() -> None:
    with pytest.raises(DigestUnknown, match="names sha256"):
        where([deployment(1, "v1", {})], some("unheard of"))
    known = where([deployment(1, "v1", {"a": ("untouched", {})}, [WEB1], state="failed")], some(WEB1))
    assert len(known) == 0
    assert list(known.columns) == [column.name for column in RUNS]
