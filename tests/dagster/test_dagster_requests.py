"""Request ids of Dagster's rooms: a run's entries have the run's id, and those of one tick an id of their own."""

from __future__ import annotations

import pytest

from stella_pipelines.core.identifiers import check_identifier
from stella_pipelines.core.requests import current_request
from stella_pipelines.evidence.audit_search import Asked, page
from stella_pipelines.promotions import dead_runs
from tests.support.installation import NESTED_RESOURCES, SmallInstallation, add_release

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)


def requests_of(stella: SmallInstallation, asked: Asked) -> list[str | None]:
    with stella.plane.store.reading() as tx:
        return [entry.request_id for entry in page(tx, asked)[0]]


def test_what_a_run_writes_has_its_id(stella: SmallInstallation) -> None:
    release = add_release(stella.plane)
    done = stella.launch("request_promotion", {"environment": "dev", "release": release.label, "reason": "new prices", "actor": "rita"})
    assert done.success
    assert requests_of(stella, Asked(action="promotion.Request")) == [done.run_id]
    promotion = stella.plane.promotions.live("dev")
    assert promotion is not None
    evaluated = stella.execute("promotion", {"gather_plan": {"promotion_id": promotion.id, "attempt": 1}})
    assert set(requests_of(stella, Asked(subject=f"{promotion.id}/evaluation/1"))) == {evaluated.run_id} != {done.run_id}
    assert current_request() is None


def test_a_tick_is_one_request_and_the_next_tick_another(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_runs, "PAUSE_S", 0.0)
    promotions = [stella.request(environment) for environment in ("dev", "prod")]
    said = []
    for _ in range(2):
        stella.tick("promotions")
        for run in stella.runs():
            if not run.is_finished:
                stella.instance.report_run_failed(run, "its process was killed")
        stella.tick("promotions")
        said.append([requests_of(stella, Asked(subject=one.id, action="promotion.Reevaluate"))[0] for one in promotions])
    (first, also_first), (second, also_second) = said
    assert first == also_first
    assert second == also_second
    assert check_identifier(first or "", "req") != check_identifier(second or "", "req")
