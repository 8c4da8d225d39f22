"""The same history in Dagster's own tables on PostgreSQL: partitions, materializations, and the newest runs, so that its pages can read them.

One event of each kind is made by the product's own code and written down by Dagster's serializer; the others are copies in which names, digests
and times are replaced. Dagster would take hours to write so many, because it sends each event in transactions of its own.
What is left out: the steps' log lines of the runs, which the pages that are measured do not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetEventTagsTable, DynamicPartitionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._serdes import deserialize_value, serialize_value

from assets.events import decision_event, environment_event, ledger_rows, packet_event, release_events
from assets.keys import DATA_VERSION_TAG, RELEASES
from assets.lineage import of_environment
from benchmarks.bulk import Bulk
from benchmarks.history_shape import Move, Shape, product_name
from benchmarks.history_writing import About
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.clock import parse_instant
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.releases.model import ReleaseRecord

RUNS: Final = 40_000
"""Runs that Dagster still has; by its retention the older ones are gone. Their events are kept here all the same, which is the worst case."""
_TIME: Final = 1_111_111_111.0
"""Stands in a written event where its own time goes."""
_RUNLESS: Final = ""
Progress = Callable[[str], None]


def fill_dagster(plane: ControlPlane, instance: dg.DagsterInstance, engine: sa.Engine, shape: Shape, progress: Progress = print) -> dict[str, int]:
    """Write the history that the store has; the number of rows by table."""
    with engine.begin() as connection:
        tables = (SqlEventLogStorageTable, AssetEventTagsTable, DynamicPartitionsTable, RunsTable, RunTagsTable)
        telling = _Telling(plane, shape, Bulk(connection, tables))
        telling.tell(progress)
        for table in ("event_logs", "asset_event_tags"):
            connection.execute(sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"))
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    for event_id, text in telling.newest.values():
        storage.store_asset_event(deserialize_value(text, EventLogEntry), event_id)
    return telling.bulk.written


@dataclass(frozen=True)
class _Written:
    """An event as it is stored, of one asset and kind."""

    text: str
    asset_key: str
    partition: str
    version: str
    step_key: str


class _Telling:
    def __init__(self, plane: ControlPlane, shape: Shape, bulk: Bulk) -> None:
        self._plane = plane
        self._shape = shape
        self.bulk = bulk
        self.newest: dict[str, tuple[int, str]] = {}
        self._event_id = 0
        self._releases = _releases(plane, shape)
        with plane.store.reading() as tx:
            found = tx.connection.execute(sa.select(evidence_packets.c.id, evidence_packets.c.digest))
            self._digests: dict[str, str] = {row.id: row.digest for row in found}

    def tell(self, progress: Progress) -> None:
        self._tell_releases()
        progress(f"{len(self._releases):,} releases are partitions")
        moves = list(self._shape.moves())
        samples = self._samples(moves)
        for move in moves:
            self._tell_move(About(move, self._releases[move.product, move.release]), samples)
            if len(moves) - move.number <= RUNS // 2:
                self._tell_runs(About(move, self._releases[move.product, move.release]))
            self.bulk.flush(full_only=True)
        self.bulk.flush()
        progress(f"{self._event_id:,} events")

    # ------------------------------------------------------------ releases

    def _tell_releases(self) -> None:
        sample = self._releases[0, 0]
        events = [_written(event, _RUNLESS, "", "") for event in release_events(sample)]
        for number in range(self._shape.size.releases // self._shape.size.products):
            for product in range(self._shape.size.products):
                record = self._releases[product, number]
                self.bulk.add(DynamicPartitionsTable, {"partitions_def_name": RELEASES.name, "partition": record.partition_key})
                names = _replacements(sample, record)
                for event in events:
                    self._add(event, names, self._shape.released_at(number).timestamp(), _RUNLESS)
            self.bulk.flush(full_only=True)

    # ------------------------------------------------------------ promotions

    def _samples(self, moves: list[Move]) -> dict[int, tuple[About, list[_Written]]]:
        """By stage: one deployed promotion of the first product, and what its two runs reported."""
        found: dict[int, tuple[About, list[_Written]]] = {}
        for move in moves:
            if move.product == 0 and move.state == "deployed" and move.stage not in found:
                about = About(move, self._releases[0, move.release])
                found[move.stage] = about, self._events_of(about)
        return found

    def _events_of(self, about: About) -> list[_Written]:
        plane, record, partition = self._plane, about.record, about.record.partition_key
        promotion = plane.promotions.get(about.id)
        with plane.store.reading() as tx:
            upstream = of_environment(plane, tx, about.environment, record)
            decision, packet = plane.evidence.get(tx, about.decision), plane.evidence.get(tx, about.packet)
        decided = decision_event(promotion, partition, decision, plane.promotions.results(promotion.id), upstream)
        rows = ledger_rows(plane.deployments.ledger(about.deployment))
        proven = environment_event(about.environment, record, packet, rows, upstream)
        runs = about.run_id("promotion"), about.run_id("deployment")
        return [
            _written(decided, runs[0], "promotion", "decide"),
            _written(proven, runs[1], "deployment", "roll_out"),
            _written(packet_event(about.environment, packet, partition, upstream), runs[1], "deployment", "roll_out"),
        ]

    def _tell_move(self, about: About, samples: Mapping[int, tuple[About, list[_Written]]]) -> None:
        if not about.decided:
            return
        sample, events = samples[about.move.stage]
        names = _replacements(sample.record, about.record) | {
            sample.id: about.id,
            sample.deployment: about.deployment,
            sample.decision: about.decision,
            sample.packet: about.packet,
            self._digests[sample.decision]: self._digests[about.decision],
            self._digests[sample.packet]: self._digests.get(about.packet, ""),
            sample.plan: about.plan,
            **{sample.run_id(kind): about.run_id(kind) for kind in ("promotion", "deployment")},
        }
        count = {"rejected": 1, "failed": 3, "deployed": 3}[about.move.state]
        for event in events[:count]:
            if about.move.state == "failed" and event is events[1]:
                continue  # nothing was proven
            at = about.judged if event is events[0] else about.ended
            self._add(event, names, parse_instant(at).timestamp(), about.run_id("promotion" if event is events[0] else "deployment"))

    def _tell_runs(self, about: About) -> None:
        kinds = {"promotion": about.requested, "deployment": about.judged}
        for kind, begun in kinds.items():
            if kind == "deployment" and about.move.state not in ("deployed", "failed"):
                continue
            at, run_id = parse_instant(begun), about.run_id(kind)
            tags = {"stella/promotion": about.id, "stella/attempt": "1", "stella/release": about.label, "stella/promotes_to": about.environment}
            status = dg.DagsterRunStatus.FAILURE if kind == "deployment" and about.move.state == "failed" else dg.DagsterRunStatus.SUCCESS
            body = serialize_value(dg.DagsterRun(job_name=kind, run_id=run_id, status=status, tags=tags))
            times = {"create_timestamp": at.replace(tzinfo=None), "update_timestamp": at.replace(tzinfo=None), "start_time": at.timestamp()}
            ended = (at + timedelta(seconds=20)).timestamp()
            self.bulk.add(RunsTable, {"run_id": run_id, "pipeline_name": kind, "status": status.value, "run_body": body, **times, "end_time": ended})
            for key, value in tags.items():
                self.bulk.add(RunTagsTable, {"run_id": run_id, "key": key, "value": value})

    # ------------------------------------------------------------ one event

    def _add(self, event: _Written, names: Mapping[str, str], at: float, run_id: str) -> None:
        text, key, partition, version = (_replaced(one, names) for one in (event.text, event.asset_key, event.partition, event.version))
        text = text.replace(repr(_TIME), repr(at))
        self._event_id += 1
        when = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
        row = {"id": self._event_id, "run_id": run_id, "event": text, "dagster_event_type": "ASSET_MATERIALIZATION", "timestamp": when}
        self.bulk.add(SqlEventLogStorageTable, {**row, "step_key": event.step_key or None, "asset_key": key, "partition": partition})
        tag = {"event_id": self._event_id, "asset_key": key, "key": DATA_VERSION_TAG, "value": version, "event_timestamp": when}
        self.bulk.add(AssetEventTagsTable, tag)
        self.newest[key] = self._event_id, text


def _replaced(text: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        text = text.replace(old, new)
    return text


def _replacements(sample: ReleaseRecord, record: ReleaseRecord) -> dict[str, str]:
    """What another release has in the place of the sample's. Whole digests first, then their first characters, then names."""
    pairs = dict(zip(_digests(sample), _digests(record), strict=True))
    short = {ours.removeprefix("sha256:")[:12]: theirs.removeprefix("sha256:")[:12] for ours, theirs in pairs.items()}
    return pairs | short | {sample.label: record.label, sample.release.name: record.release.name}


def _digests(record: ReleaseRecord) -> Iterator[str]:
    yield str(record.digest)
    for part in record.release.components:
        yield from (str(part.digest), str(part.platforms[0].digest), str(part.platforms[0].config_digest))


def _written(event: dg.AssetMaterialization, run_id: str, job: str, step: str) -> _Written:
    assert event.partition is not None, "every event of ours has a partition"
    about = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name=job or "RUNLESS",
        step_key=step or None,
        event_specific_data=StepMaterializationData(event),
    )
    entry = EventLogEntry(
        error_info=None, level=20, user_message="", run_id=run_id, timestamp=_TIME, step_key=step or None, job_name=job or None, dagster_event=about
    )
    return _Written(serialize_value(entry), event.asset_key.to_string(), event.partition, (event.tags or {})[DATA_VERSION_TAG], step)


def _releases(plane: ControlPlane, shape: Shape) -> dict[tuple[int, int], ReleaseRecord]:
    """Every release by its product and number."""
    found = plane.releases.list(limit=shape.size.releases)
    numbers = {product_name(product): product for product in range(shape.size.products)}
    return {(numbers[one.release.name], int(one.release.version.split(".")[1])): one for one in found}
