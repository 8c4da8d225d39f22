"""Exports of real promotions on simulated targets, with a history of which the oldest packets were purged."""

from __future__ import annotations

from pathlib import Path

import pytest

from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.service import Exports
from stella_pipelines.evidence.exports.source import ExportedPackets
from stella_pipelines.evidence.exports.verifying import verify_export
from stella_pipelines.evidence.frames.deployments import deployments
from stella_pipelines.evidence.frames.lineage import lineage
from stella_pipelines.store.database import Store
from tests.simulation.installation import image
from tests.support.evidence import signing_key
from tests.support.exports import KEY, members_of, unseen
from tests.support.retention import ALICE, DAYS, Aging


@pytest.fixture
def aging(store: Store) -> Aging:
    return Aging(store)


def exports_of(aging: Aging) -> Exports:
    return Exports(aging.store, aging.evidence, aging.log, signing_key(), aging.clock, SystemIdentifiers())


def test_an_environment_s_export_tells_the_story_without_the_installation(aging: Aging, tmp_path: Path) -> None:
    aging.deploy("1.0.0", "1.1.0")
    report = exports_of(aging).export(ALICE, Question(environment="prod"), tmp_path / "a.zip", unseen).report
    packets = ExportedPackets(tmp_path / "a.zip", KEY)
    assert packets.report == report
    assert {packet.kind for packet in packets} == {"decision", "summary", "deployment", "release"}
    frame = deployments(packets)
    assert list(frame["state"]) == ["succeeded", "succeeded"]
    story = lineage(packets, image("web", "1.1.0").digest, packets.blob)
    assert {"decision", "deployment"} <= set(story["what"])
    page = members_of(tmp_path / "a.zip")["index.html"].decode()
    assert page.count("succeeded") == 2


def test_purged_packets_leave_their_places(aging: Aging, tmp_path: Path) -> None:
    aging.deploy("1.0.0", "1.1.0")
    aging.pass_days(DAYS + 30)
    aging.deploy("2.0.0")
    before = exports_of(aging).export(ALICE, Question(environment="prod"), tmp_path / "before.zip", unseen).report
    assert before.counts.purged == 0
    purged = aging.retention.purge(ALICE, "past retention")
    assert purged.packets > 0
    for question in (Question(environment="prod"), Question()):
        target = tmp_path / "after.zip"
        report = exports_of(aging).export(ALICE, question, target, unseen).report
        assert report.counts.purged > 0
        (span,) = [span for span in report.streams if span.stream == "environment/prod"]
        assert span.first == 1
        assert verify_export(target, KEY) == report
    (span_before,) = [span for span in before.streams if span.stream == "environment/prod"]
    assert (span.first, span.last) == (span_before.first, span_before.last)
