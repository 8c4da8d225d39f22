"""`stella up` on a PostgreSQL that cannot be used: each reason is one clear error, before anything starts, and no password is shown."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, Settings, database_url
from stella_pipelines.store import limits
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import DatabaseForbidden
from stella_pipelines.supervisor.occupancy import occupied
from tests.support.databases import Databases
from tests.support.postgres import PostgresCluster

pytestmark = pytest.mark.postgres
PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def cluster(databases: Databases) -> Iterator[PostgresCluster]:
    """The tests' server with two more users: one who has to give a password, one who may not do much."""
    found = databases.cluster
    found.administer(f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
    found.administer("CREATE ROLE guest LOGIN")
    found.use_passwords_for("guarded")
    yield found
    found.administer("DROP ROLE guarded")
    found.administer("DROP ROLE guest")


@pytest.fixture
def name(cluster: PostgresCluster) -> Iterator[str]:
    """An empty database that belongs to the administrator."""
    made = cluster.create()
    yield made
    cluster.drop(made)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    return tmp_path / "home"


def refusal(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What `stella up` says about this database."""
    monkeypatch.setenv(DATABASE_VARIABLE, url)
    assert run(["--json", "up", "--port", "0"]) is not Exit.DONE
    shown = capsys.readouterr()
    assert PASSWORD not in shown.out + shown.err
    said: dict[str, str] = json.loads(shown.out or shown.err)["error"]
    assert said["next_step"]
    return said


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("nobody@/{name}?host={host}", "SYS_DATABASE_REFUSED"),
        ("guarded:wrong-hunter@/{name}?host={host}", "SYS_DATABASE_REFUSED"),
        ("guarded@/{name}?host={host}", "SYS_DATABASE_REFUSED"),
        ("postgres@/no_such_database?host={host}", "SYS_DATABASE_MISSING"),
        ("guest@/{name}?host={host}", "SYS_DATABASE_FORBIDDEN"),
        ("postgres:hunter2@127.0.0.1:1/{name}", "SYS_DATABASE_UNREACHABLE"),
        ("postgres:hunter2@/{name}?host={host}&sslmode=perhaps", "SYS_DATABASE_URL_UNUSABLE"),
        ("postgres:hunter2@/{name}?host={host}&colour=blue", "SYS_DATABASE_URL_UNUSABLE"),
        ("postgres:hunter2@/{name}?host={host}&password=hunter2", "SYS_SETTING_INVALID"),
    ],
)
def test_each_reason_is_one_error(
    cluster: PostgresCluster, name: str, address: str, code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    said = refusal(f"postgresql://{address.format(name=name, host=cluster.folder)}", capsys, monkeypatch)
    assert said["code"] == code
    assert not list(home.glob("logs/*")), "nothing was started"


def test_a_server_that_is_too_old_is_refused(cluster: PostgresCluster, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POSTGRES_VERSION_MIN", 99)
    said = refusal(cluster.url(name), capsys, monkeypatch)
    assert said["code"] == "SYS_DATABASE_TOO_OLD"
    assert "99 or later" in str(said)


def test_a_user_who_may_not_make_the_schema_of_dagster_is_told_so(cluster: PostgresCluster, name: str, home: Path) -> None:
    """Ours are there, so that only Dagster's are missing."""
    Store.open(cluster.url(name)).close()
    for statement in ("GRANT ALL ON SCHEMA public TO guest", "GRANT ALL ON ALL TABLES IN SCHEMA public TO guest"):
        engine = sa.create_engine(cluster.url(name), poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
    settings = Settings(home=home, database_url=cluster.url(name).replace("postgres@", "guest@"))
    home.mkdir()
    with pytest.raises(DatabaseForbidden, match="permission denied for database"), occupied(settings, threading.Event()):
        pytest.fail("it came up")
    # An administrator may make it beforehand.
    with sa.create_engine(cluster.url(name), poolclass=sa.pool.NullPool).begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA dagster AUTHORIZATION guest")
    with occupied(settings, threading.Event()) as occupancy:
        assert occupancy is not None


def test_a_password_on_the_command_line_is_refused(cluster: PostgresCluster, name: str, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert run(["--json", "up", "--database", f"postgresql://guarded:{PASSWORD}@/{name}?host={cluster.folder}"]) is not Exit.DONE
    shown = capsys.readouterr()
    assert PASSWORD not in shown.out + shown.err
    said = json.loads(shown.out or shown.err)["error"]
    assert said["code"] == "SYS_SETTING_INVALID"
    assert DATABASE_VARIABLE in said["next_step"]
    assert not home.exists()


def test_the_right_password_of_an_owner_is_all_that_is_needed(cluster: PostgresCluster, name: str, home: Path) -> None:
    cluster.administer(f"ALTER DATABASE {name} OWNER TO guarded")
    url = database_url(f"postgresql://guarded:{PASSWORD}@/{name}?host={cluster.folder}")
    home.mkdir()
    with occupied(Settings(home=home, database_url=url), threading.Event()) as occupancy:
        assert occupancy is not None
    assert os.listdir(home) == ["installation.id"]
