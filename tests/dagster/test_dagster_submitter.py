"""The submitter of `stella up`: what one pass does, what it leaves for a later one, and what ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import dagster as dg
import pytest

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import InvalidSetting
from stella_pipelines.jobs.submission import run_id_of
from stella_pipelines.promotions import dead_runs
from stella_pipelines.store.errors import DatabaseBusy
from stella_pipelines.supervisor import submitter
from stella_pipelines.supervisor.submitter import SELDOM_S, Duties, repeatedly
from tests.support.installation import SmallInstallation


def test_a_run_that_died_is_followed_and_its_successor_submitted_in_the_same_pass(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_runs, "PAUSE_S", 0.0)
    promotion = stella.request()
    duties = Duties(stella.plane, stella.submitter())
    duties.do(0.0)
    first = run_id_of("promotion", promotion.id, 1)
    dead = stella.instance.get_run_by_id(first)
    assert dead is not None
    stella.instance.report_run_failed(dead, "its process was killed")

    duties.do(SELDOM_S / 2)
    assert [run.run_id for run in stella.runs()] == [first], "the dead are looked for every few seconds, and not in every pass"
    duties.do(SELDOM_S)
    assert {run.run_id for run in stella.runs()} == {first, run_id_of("promotion", promotion.id, 2)}
    assert [run.status for run in stella.runs()].count(dg.DagsterRunStatus.QUEUED) == 1


def test_trouble_that_may_pass_is_waited_out_and_other_trouble_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitter, "TROUBLE_PAUSE_S", 0.0)
    stopping = threading.Event()
    troubles: list[StellaError] = [DatabaseBusy("A moment.", next_step="Wait."), InvalidSetting("For good.", next_step="Repair it.")]

    def fail() -> None:
        raise troubles.pop(0)

    with pytest.raises(InvalidSetting):
        repeatedly(fail, _nothing, stopping)
    assert troubles == []
    assert stopping.is_set(), "what works beside it stops too, so that the process ends and is started again"


def test_it_ends_after_the_pass_in_which_it_is_told_to() -> None:
    stopping = threading.Event()
    passes: list[Callable[[], None]] = []

    def do() -> None:
        passes.append(stopping.set)
        stopping.set()

    repeatedly(do, _nothing, stopping)
    assert len(passes) == 1


def _nothing() -> None:
    """No pause."""
