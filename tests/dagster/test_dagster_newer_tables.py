"""Dagster's tables that a newer version has written are left alone, on both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.core.settings import DATABASE_VARIABLE, Settings
from stella_pipelines.jobs.storage.instance_storage import prepare_instance
from stella_pipelines.store.errors import DatabaseNewer
from stella_pipelines.supervisor.home import instance_configuration
from tests.support.databases import Databases

FROM_THE_FUTURE = "ffffffffffff"


@pytest.fixture
def prepared(tmp_path: Path, database_kind: str, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str | None]:
    """An installation whose Dagster tables are there; the URL of its PostgreSQL database."""
    with databases.fresh(database_kind, with_dagster=True) as url:
        (tmp_path / "dagster.yaml").write_text(instance_configuration(Settings(home=tmp_path / "home", database_url=url)))
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        monkeypatch.setenv(DATABASE_VARIABLE, url)
        prepare_instance()
        yield None if database_kind == "sqlite" else url


def write_from_the_future(folder: Path, url: str | None) -> None:
    statement = f"UPDATE {{}}alembic_version SET version_num = '{FROM_THE_FUTURE}'"
    if url is not None:
        with sa.create_engine(url, poolclass=sa.pool.NullPool).begin() as connection:
            connection.exec_driver_sql(statement.format("dagster."))
        return
    for path in folder.rglob("runs.db"):
        connection = sqlite3.connect(path)
        connection.execute(statement.format(""))
        connection.commit()
        connection.close()


def test_tables_of_a_newer_dagster_are_refused(prepared: str | None, tmp_path: Path) -> None:
    prepare_instance()
    write_from_the_future(tmp_path, prepared)
    with pytest.raises(DatabaseNewer, match=FROM_THE_FUTURE) as caught:
        prepare_instance()
    assert "Upgrade this installation" in (caught.value.next_step or "")
