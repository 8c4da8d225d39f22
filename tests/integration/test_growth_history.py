"""The history that the growth benchmark writes is what the services would have written: every document, every packet, and Dagster's events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.instance.ref import InstanceRef

from assets.keys import environment_key, evidence_key, image_key, release_key
from assets.present import partitions_in_use, runs_that_show_the_present
from benchmarks.dagster_history import fill_dagster
from benchmarks.history import fill
from benchmarks.history_shape import Shape, Size
from benchmarks.history_writing import sealed
from stella_pipelines.cli.board import board
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.model import EnvironmentObservation, LedgerRow
from stella_pipelines.deployments.tables import ledger, observations
from stella_pipelines.evidence.agreement import stored_rows_agree
from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.listing import page
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.promotions.deciding import CONTEXT_TYPE
from stella_pipelines.promotions.decision import DecisionContext, DecisionRecord
from stella_pipelines.promotions.evaluation import Evaluation, GateResult
from stella_pipelines.promotions.evaluator import INPUTS_TYPE
from stella_pipelines.promotions.gates.port import GateInputs
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.tables import evaluations, gate_results, promotions
from stella_pipelines.releases.model import Release
from stella_pipelines.releases.tables import releases
from stella_pipelines.store import blobs
from stella_pipelines.store.tables import blobs as blob_table
from tests.support.databases import Databases
from tests.support.evidence import signing_key

SIZE = Size(products=2, releases=20, promotions=400, targets=(1, 2, 2, 3, 4), ends_at=datetime(2026, 3, 1, tzinfo=UTC))
DOCUMENTS: dict[sa.Table, type[Value]] = {
    promotions: Promotion,
    evaluations: Evaluation,
    gate_results: GateResult,
    ledger: LedgerRow,
    observations: EnvironmentObservation,
    releases: Release,
}


@pytest.fixture
def plane(tmp_path: Path, database_url: str) -> Iterator[ControlPlane]:
    settings = Settings(home=tmp_path / "home", database_url=database_url)
    with open_control_plane(settings) as opened:
        fill(opened, SIZE, FileKey.load_or_create(settings.signing_key_path), progress=lambda line: None)
        yield opened


def test_every_document_is_the_canonical_form_of_its_value(plane: ControlPlane) -> None:
    with plane.store.reading() as tx:
        for table, value in DOCUMENTS.items():
            found = tx.connection.execute(sa.select(table.c.document)).scalars().all()
            assert found
            assert [value.model_validate_json(document).canonical().decode() for document in found] == found
        for media_type, kept in ((INPUTS_TYPE, GateInputs), (CONTEXT_TYPE, DecisionContext)):
            contents = tx.connection.execute(sa.select(blob_table.c.content).where(blob_table.c.media_type == media_type)).scalars().all()
            assert contents
            assert all(kept.model_validate_json(bytes(content)).canonical() == bytes(content) for content in contents)


def test_every_packet_verifies_and_its_rows_say_what_was_sealed(plane: ControlPlane) -> None:
    with plane.store.reading() as tx:
        packets, older = page(tx, limit=1_000)
        claims = [read_verified(plane.evidence, tx, packet.id)[1].statement.claim() for packet in packets]
        named = {entry["digest"] for claim in claims if "targets" not in claim for entry in claim["inputs"] if entry["name"] != "plan"}
        assert all(blobs.exists(tx, digest) for digest in named)
    assert older == 0
    assert len(packets) > SIZE.promotions
    assert [DecisionRecord.model_validate(claim["decision"]) for claim in claims if "targets" not in claim]
    assert [packet.sequence for packet in packets if packet.environment == "shop0_dev"] == list(
        range(max(packet.sequence for packet in packets if packet.environment == "shop0_dev"), 0, -1)
    )


def test_every_row_agrees_with_its_audit_entries(plane: ControlPlane) -> None:
    with plane.store.reading() as tx:
        assert list(stored_rows_agree(tx)) == []


def test_the_quick_envelope_is_the_one_that_sealing_writes() -> None:
    key = signing_key()
    assert sealed(b'{"a":1}', key) == write_envelope(b'{"a":1}', key)


def test_every_environment_runs_something_and_one_of_them_is_ill(plane: ControlPlane) -> None:
    rows = board(plane)
    assert [row.environment for row in rows] == sorted(Shape(SIZE).environments, key=[row.environment for row in rows].index)
    assert [row.environment for row in rows if not row.healthy] == ["shop1_prod"]
    assert [row.environment for row in rows if row.promotion] == [name for name in (row.environment for row in rows) if name in Shape(SIZE).environments[::3]]
    assert all(row.release is not None and row.runs for row in rows)


def test_the_same_seed_gives_the_same_history() -> None:
    assert list(Shape(SIZE).moves()) == list(Shape(SIZE).moves())
    other = Size(SIZE.products, SIZE.releases, SIZE.promotions, SIZE.targets, seed=2, ends_at=SIZE.ends_at)
    assert list(Shape(other).moves()) != list(Shape(SIZE).moves())


@pytest.mark.postgres
def test_dagster_reads_the_copies_of_its_events(databases: Databases, tmp_path: Path) -> None:
    with databases.fresh("postgres") as ours, databases.fresh("postgres", migrated=False) as theirs:
        settings = Settings(home=tmp_path / "home", database_url=ours)
        reference = InstanceRef.from_dir(str(_made(tmp_path / "dagster")), overrides={"storage": {"postgres": {"postgres_url": theirs}}})
        engine = sa.create_engine(theirs, poolclass=sa.pool.NullPool)
        with open_control_plane(settings) as plane, dg.DagsterInstance.from_ref(reference) as instance:
            fill(plane, SIZE, FileKey.load_or_create(settings.signing_key_path), progress=lambda line: None)
            fill_dagster(plane, instance, engine, Shape(SIZE), progress=lambda line: None)
            _compare(plane, instance)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _compare(plane: ControlPlane, instance: dg.DagsterInstance) -> None:
    assert len(instance.get_dynamic_partitions("releases")) == SIZE.releases
    for key in (release_key("shop1"), image_key("shop1_web")):
        assert len(instance.get_materialized_partitions(key)) == SIZE.releases // SIZE.products
    for row in board(plane):
        (newest,) = instance.fetch_materializations(environment_key(row.environment), limit=1).records
        shown = newest.asset_materialization
        assert shown is not None
        assert (shown.tags or {})["dagster/data_version"] == row.release_digest
        assert shown.metadata["release"].value == row.release
        assert str(shown.metadata["targets"].value).count(row.environment.replace("_", "-")) == 2 * len(
            plane.environments.current()[0].targets_of(row.environment)
        )
        run = instance.get_run_by_id(newest.run_id)
        assert run is not None
        assert run.tags["stella/promotes_to"] == row.environment
        packet = instance.get_latest_materialization_event(evidence_key(row.environment))
        assert packet is not None
        assert packet.run_id in runs_that_show_the_present(plane, instance)
    assert partitions_in_use(plane) <= set(instance.get_dynamic_partitions("releases"))
