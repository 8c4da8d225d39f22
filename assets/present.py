"""Which of Dagster's runs and partitions show what is so now, and must stay while older ones are deleted. Reads; deletes nothing."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from assets.checks import CHECK_NAME
from assets.keys import environment_key, evidence_key
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import records
from stella_pipelines.promotions.records import live_promotions
from stella_pipelines.store import outbox
from stella_pipelines.store.outbox import Kind


def partitions_in_use(plane: ControlPlane) -> set[str]:
    """The partitions of releases that run in an environment, were proven there last, or are on their way."""
    estate, _ = plane.environments.current()
    names = [environment.name for environment in estate.environments]
    with plane.store.reading() as tx:
        digests = {live.release_digest for live in live_promotions(tx)}
        digests |= {record.release_digest for record in records.all_unfinished(tx)}
        digests |= {record.release_digest for record in records.newest_proven_of_each(tx, names).values()}
        return {record.partition_key for record in plane.releases.by_digests(digests, tx).values()}


def runs_that_show_the_present(plane: ControlPlane, instance: dg.DagsterInstance) -> set[str]:
    """The runs that reported the newest state of an asset, a check, or a partition that an environment runs; and those that somebody waits for."""
    estate, _ = plane.environments.current()
    names = [environment.name for environment in estate.environments]
    keys = [key for name in names for key in (environment_key(name), evidence_key(name))]
    found = set(_newest_of_assets(instance, keys)) | set(_newest_of_checks(instance, names)) | set(_runs_waited_for(plane))
    for name, partition in _proven_partitions(plane, names).items():
        found |= set(_newest_of_partition(instance, environment_key(name), partition))
        found |= set(_newest_of_partition(instance, evidence_key(name), partition))
    return found


def _newest_of_assets(instance: dg.DagsterInstance, keys: list[dg.AssetKey]) -> Iterable[str]:
    events = instance.get_latest_materialization_events(keys).values() if keys else ()
    return (event.run_id for event in events if event is not None)


def _newest_of_checks(instance: dg.DagsterInstance, environments: list[str]) -> Iterable[str]:
    keys = [dg.AssetCheckKey(environment_key(name), CHECK_NAME) for name in environments]
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys) if keys else {}
    return (record.run_id for record in found.values())


def _newest_of_partition(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str) -> Iterable[str]:
    found = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1)
    return (record.run_id for record in found.records)


def _proven_partitions(plane: ControlPlane, environments: list[str]) -> dict[str, str]:
    with plane.store.reading() as tx:
        proven = records.newest_proven_of_each(tx, environments)
        releases = plane.releases.by_digests({record.release_digest for record in proven.values()}, tx)
    return {name: releases[Digest(record.release_digest)].partition_key for name, record in proven.items()}


def _runs_waited_for(plane: ControlPlane) -> Iterable[str]:
    """The newest runs of what has not ended: a dead one is followed only while it can be asked how it ended (`jobs/recovery.py`)."""
    kinds: tuple[Kind, ...] = ("promotion", "deployment", "resumption")
    with plane.store.reading() as tx:
        subjects = [live.id for live in live_promotions(tx)] + [record.id for record in records.all_unfinished(tx)]
        rows = [outbox.latest(tx, kind, subject) for subject in subjects for kind in kinds]
    return [row.run_id for row in rows if row is not None and row.run_id is not None]
