"""`run_start` and `runs_per_minute`: our launcher against Dagster's own, under the same `stella up`, queue and jobs.

`run_start` is the time from the moment at which a run is handed to its launcher to the run's first step, as the run's own events say it.
`runs_per_minute` counts ten runs that are wanted at the same moment, until the last one has ended.
Each run is of the promotion job, and finds out in its first op that there is nothing to decide: the least that a run of ours does.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Final

import dagster as dg

from benchmarks.installation import ACTOR, running, until
from benchmarks.row import Row
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Environment, Estate
from stella_pipelines.jobs.submission import run_id_of
from stella_pipelines.releases import rows
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent
from stella_pipelines.store import outbox

STARTS: Final = 5
AT_ONCE: Final = 10
STOCK: Final = {"module": "dagster._core.launcher", "class": "DefaultRunLauncher"}


def run_start() -> list[Row]:
    """Medians of five starts one after the other, then ten runs at once; first with our launcher, then with the stock one."""
    ours, ours_per_minute = _measured(stock=False)
    stock, stock_per_minute = _measured(stock=True)
    return [
        Row("run_start", ours, "s", "Dagster's DefaultRunLauncher", stock),
        Row("runs_per_minute", ours_per_minute, "1/min", "Dagster's DefaultRunLauncher", stock_per_minute),
    ]


def _measured(*, stock: bool) -> tuple[float, float]:
    with running(**({"run_launcher": STOCK} if stock else {})) as installation:
        plane, instance = installation.plane, installation.instance
        subject = _cancelled_promotion(plane)
        attempts = itertools.count(2)
        _until_ended(instance, _wanted(plane, subject, attempts, 1))  # warms what can be warmed, and does not count
        starts = []
        for _ in range(STARTS):
            run_ids = _wanted(plane, subject, attempts, 1)
            _until_ended(instance, run_ids)
            starts.append(_start_s(instance, *run_ids))
        began = time.perf_counter()
        run_ids = _wanted(plane, subject, attempts, AT_ONCE)
        _until_ended(instance, run_ids)
        return statistics.median(starts), 60.0 * AT_ONCE / (time.perf_counter() - began)


def _cancelled_promotion(plane: ControlPlane) -> str:
    """A promotion about which every further run finds out that there is nothing to decide."""
    estate = Estate(environments=(Environment(name="dev", gates="none"),))
    plane.environments.apply(ACTOR, estate, source_digest=estate.content_digest())
    promotion = plane.promotions.request(ACTOR, environment="dev", release_digest=_release(plane), reason="bench")
    return plane.promotions.cancel(ACTOR, promotion.id, "bench").id


def _wanted(plane: ControlPlane, subject: str, attempts: Iterator[int], count: int) -> list[str]:
    """Want some runs at the same moment, as a decision does; their ids."""
    chosen, now = list(itertools.islice(attempts, count)), plane.clock.now()
    with plane.store.writing() as tx:
        for attempt in chosen:
            outbox.enqueue(tx, "promotion", subject, attempt, {"environment": "dev"}, plane.identifiers.new("out", now), now)
    return [run_id_of("promotion", subject, attempt) for attempt in chosen]


def _start_s(instance: dg.DagsterInstance, run_id: str) -> float:
    """From STARTING, which is written right before the launcher is called, to the first step."""
    kinds = {dg.DagsterEventType.PIPELINE_STARTING, dg.DagsterEventType.STEP_START}
    records = instance.get_records_for_run(run_id, of_type=kinds).records
    times = {record.event_log_entry.dagster_event_type: record.event_log_entry.timestamp for record in reversed(records)}
    return times[dg.DagsterEventType.STEP_START] - times[dg.DagsterEventType.PIPELINE_STARTING]


def _until_ended(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    def ended() -> bool:
        found = instance.get_runs(dg.RunsFilter(run_ids=run_ids))
        return len(found) == len(run_ids) and all(one.is_finished for one in found)

    until(ended, "ended")


def _release(plane: ControlPlane) -> Digest:
    """A finalized release of one image that nobody has to have."""
    image = PlatformImage(platform="linux/amd64", digest=Digest.of(b"image"), config_digest=Digest.of(b"config"))
    component = ReleaseComponent(name="web", repository="registry.invalid/web", digest=image.digest, platforms=(image,))
    with plane.store.writing() as tx:
        rows.insert_draft(tx, Release(name="bench", version="1", components=(component,), created_at=plane.clock.now()))
    digest = plane.releases.finalize(ACTOR, "bench", "1").digest
    assert digest is not None
    return digest
