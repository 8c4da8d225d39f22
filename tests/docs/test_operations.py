"""The commands of docs/operations.md bring an installation back: they are taken from the page, and run as they stand there.

Both databases, for real: an installation with history and targets is saved, goes on, is lost, and is restored. What cannot be run here (Compose, systemd,
ECS) is checked for naming what exists.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.lab.lab import Lab
from tests.support.carrying_out import carry_out
from tests.support.databases import Databases
from tests.support.deploy_files import DEPLOY, ROOT, compose, program

PAGE = (ROOT / "docs" / "operations.md").read_text()
STEP_TIMEOUT_S = 120.0


def commands(title: str) -> str:
    """The block of the page that begins with this comment."""
    (found,) = re.findall(rf"^```sh\n# {re.escape(title)}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@dataclass(frozen=True)
class Operated:
    """An installation as its operator has it: an environment, and a shell."""

    environ: Mapping[str, str]
    lab: Lab
    capsys: pytest.CaptureFixture[str]

    def sh(self, text: str, **more: str) -> str:
        """Run lines of the page; what they print."""
        done = subprocess.run(["bash", "-eu", "-c", text], env={**self.environ, **more}, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def stella(self, *words: str) -> Any:
        """One command in this process, with its JSON answer."""
        self.capsys.readouterr()
        code = run(["--json", *words])
        said = self.capsys.readouterr()
        assert code is Exit.DONE, said.out + said.err
        return json.loads(said.out)

    def settings(self) -> Settings:
        return Settings.from_environ(self.environ)

    def release(self, version: str, image: str) -> None:
        self.stella("release", "create", "shop", version, f"web={self.lab.images[image]}", "--commit", "5e1f0c3")

    def promote(self, version: str) -> str:
        """Into dev, without Dagster; the state that it comes to."""
        asked = self.stella("promote", f"shop-{version}", "--to", "dev", "--no-wait", "--as", "alice")
        with open_control_plane(self.settings()) as plane:
            return str(carry_out(plane, asked["id"]).state.value)

    def record(self) -> Any:
        """What the installation says about itself."""
        return [self.stella(*words) for words in (("promotion", "list"), ("evidence", "list"), ("release", "list"), ("audit", "list"))]

    def running(self) -> Any:
        return {row["environment"]: row["release"] for row in self.stella("status")}

    def verified(self) -> list[str]:
        """Verify every packet with the installation's public key; their digests."""
        file, packets = str(self.settings().home / "packet"), self.stella("evidence", "list")
        for packet in packets:
            self.stella("evidence", "show", packet["id"], "--raw", file)
            assert self.stella("evidence", "verify", file, "--key", str(self.settings().public_key_path))["sequence"] == packet["sequence"]
        return [packet["digest"] for packet in packets]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def operated(
    request: pytest.FixtureRequest, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operated]:
    shims = tmp_path / "bin"
    shims.mkdir()
    (shims / "stella").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stella_pipelines.cli "$@"\n')
    (shims / "stella").chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("STELLA_", "DAGSTER_"))}
    environ = {**plain, "PATH": f"{shims}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "STELLA_HOME": str(tmp_path / "home")}
    environ["BACKUP"] = str(tmp_path / "backup" / "tonight")
    if request.param == "postgres":
        for name in ("pg_dump", "pg_restore", "psql"):
            program(name, "apt-get install -y --no-install-recommends postgresql")
        databases.cluster.administer("CREATE DATABASE stella")
        server = f"postgresql://postgres@/{{}}?host={databases.cluster.folder}"
        environ |= {"STELLA_DATABASE_URL": server.format("stella"), "ADMIN_URL": server.format("postgres")}
    else:
        program("sqlite3", "apt-get install -y --no-install-recommends sqlite3")
    for name in ("STELLA_HOME", "STELLA_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
        if name in environ:
            monkeypatch.setenv(name, environ[name])
    with Lab("embedded", tmp_path / "lab") as lab:
        made = Operated(environ, lab, capsys)
        made.sh(f"{sys.executable} {DEPLOY / 'migrate.py'}")
        made.stella("apply", "-f", str(lab.estate_path), "--as", "alice")
        made.release("1.0.0", "v1")
        assert made.promote("1.0.0") == "deployed"
        yield made
    if request.param == "postgres":
        for name in ("stella", "stella_before_restore"):
            databases.cluster.administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def rows_of(url: str) -> dict[str, int]:
    """How many rows each table of both schemas has."""
    engine = sa.create_engine(Settings.from_environ({"STELLA_DATABASE_URL": url}).database_url)
    try:
        with engine.connect() as connection:
            names = [(schema, table) for schema in ("public", "dagster") for table in sa.inspect(connection).get_table_names(schema)]
            return {f"{schema}.{table}": connection.exec_driver_sql(f'SELECT count(*) FROM {schema}."{table}"').scalar_one() for schema, table in names}
    finally:
        engine.dispose()


def note_in_dagster(operated: Operated, partition: str) -> None:
    """Something in Dagster's tables that the store knows nothing of."""
    text = f"import dagster as dg\nwith dg.DagsterInstance.get() as instance: instance.add_dynamic_partitions('releases', ['{partition}'])"
    operated.sh(f'{sys.executable} -c "{text}"', DAGSTER_HOME=str(operated.settings().home / "dagster"))


@pytest.mark.slow
def test_what_was_saved_comes_back(operated: Operated) -> None:
    kind = "SQLite" if operated.settings().database_url.startswith("sqlite") else "PostgreSQL"
    url = operated.environ.get("STELLA_DATABASE_URL", "")
    note_in_dagster(operated, "shop-1.0.0")
    before, running, packets = operated.record(), operated.running(), operated.verified()
    assert len(packets) == 4, "the release, the decision, its summary, the deployment"
    assert running["dev"] == "shop-1.0.0"
    rows = rows_of(url) if url else {}
    key = operated.settings().public_key_path.read_bytes()
    operated.sh(commands(f"backup on {kind}"))
    saved = Path(operated.environ["BACKUP"])
    assert {path.stat().st_mode & 0o077 for path in (saved, *saved.iterdir())} == {0}

    for version, image in (("2.0.0", "v2"), ("3.0.0", "v1")):  # after the backup, and lost
        operated.release(version, image)
        assert operated.promote(version) == "deployed"
    note_in_dagster(operated, "shop-2.0.0")
    assert operated.record() != before

    if url:  # with SQLite the page moves them aside itself
        shutil.rmtree(operated.settings().home / "keys")
    assert packets[0] in operated.sh(commands(f"restore on {kind}") + "\nstella --json evidence list")
    assert operated.record() == before
    assert operated.running() == running
    assert operated.verified() == packets
    assert operated.settings().public_key_path.read_bytes() == key
    if url:
        assert rows_of(url) == rows
        assert "dagster.runs" in rows

    # The targets have seen higher tokens since then.
    assert operated.promote("1.0.0") != "deployed"
    operated.sh(commands("after a restore"), TARGET="dev")
    assert operated.promote("1.0.0") == "deployed"


def test_the_page_names_what_exists() -> None:
    for name in re.findall(r"`deploy/([\w./-]+)`", PAGE):
        assert (DEPLOY / name).exists() or name in ("secrets/", ".env", "wheelhouse"), name
    for name in re.findall(r"(?:exec|run|stop)(?: -\S+| --\S+)* (postgres|migrate|stella|worker)\b", PAGE):
        assert name in {**compose()["services"], **compose("--profile", "split")["services"]}
    assert dg.__version__ in (DEPLOY / "constraints.txt").read_text()
