"""The chain of migrations: one line, equal to the tables, run once whoever comes first, and never run backwards over a newer database."""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import stella_pipelines
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import DatabaseNewer, DatabaseOfADraft, DatabaseOlder
from stella_pipelines.store.metadata import metadata
from stella_pipelines.store.migration import SCRIPTS, VERSION_TABLE, known_revisions
from tests.support.databases import Databases
from tests.support.store_processes import open_and_count_tables


@pytest.fixture
def empty_url(databases: Databases, database_kind: str) -> Iterator[str]:
    with databases.fresh(database_kind, migrated=False) as url:
        yield url


def import_all_tables() -> None:
    root = Path(stella_pipelines.__file__).parent
    for path in sorted(root.rglob("*tables.py")):
        importlib.import_module(".".join(("stella_pipelines", *path.relative_to(root).with_suffix("").parts)))


def alembic_config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config


def test_the_chain_is_one_line_and_files_are_named_by_revision() -> None:
    scripts = ScriptDirectory(str(SCRIPTS))
    assert [script.revision for script in scripts.walk_revisions()] == known_revisions()[::-1]
    assert scripts.get_heads() == known_revisions()[-1:]


def test_the_migrated_schema_is_the_one_in_the_tables(store: Store) -> None:
    import_all_tables()
    with store.reading() as tx:
        context = MigrationContext.configure(tx.connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_chain_goes_down_and_up_again(empty_url: str) -> None:
    store = Store.open(empty_url)
    with store.writing() as tx:
        command.downgrade(alembic_config(tx.connection), "base")
        assert sa.inspect(tx.connection).get_table_names() == [VERSION_TABLE]
        command.upgrade(alembic_config(tx.connection), "head")
        assert "evidence_packets" in sa.inspect(tx.connection).get_table_names()
    store.close()


def test_opening_again_changes_nothing(database_url: str) -> None:
    for _ in range(2):
        store = Store.open(database_url, migrate=False)
        with store.reading() as tx:
            assert tx.connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == known_revisions()[-1:]
        store.close()


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    store = Store.open(database_url)
    with store.writing() as tx:
        tx.connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999_future'"))
    store.close()
    with pytest.raises(DatabaseNewer, match="9999_future"):
        Store.open(database_url)


def test_an_empty_database_is_refused_when_it_may_not_be_migrated(empty_url: str) -> None:
    with pytest.raises(DatabaseOlder):
        Store.open(empty_url, migrate=False)


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise RuntimeError("the disk is on fire")

    with monkeypatch.context() as patched:
        patched.setattr("alembic.op.create_index", stop)
        with pytest.raises(RuntimeError, match="on fire"):
            Store.open(empty_url)
    with pytest.raises(DatabaseOlder, match=r"\(none\)"):
        Store.open(empty_url, migrate=False)
    Store.open(empty_url).close()


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        counts = pool.map(open_and_count_tables, [empty_url] * 4, chunksize=1)
        pool.close()
        pool.join()
    assert counts[0] > 5
    assert len(set(counts)) == 1


def test_a_database_of_a_draft_is_refused_and_left_as_it_is(empty_url: str) -> None:
    """Packets were once sealed for an environment, and not in a stream."""
    store = Store.open(empty_url)
    with store.writing() as tx:
        command.downgrade(alembic_config(tx.connection), "0006_deployments")
        tx.connection.exec_driver_sql("ALTER TABLE evidence_packets RENAME COLUMN stream TO environment")
    store.close()
    with pytest.raises(DatabaseOfADraft):
        Store.open(empty_url)
    engine = sa.create_engine(empty_url)
    with engine.connect() as connection:
        assert connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == ["0006_deployments"]
    engine.dispose()
