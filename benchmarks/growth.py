"""`growth`: 10,000 releases, 50 environments, 5,000 targets and 100,000 promotions on PostgreSQL, and what the pages that operators use cost then.

Each page is the whole command on a control plane that is open already: parsing, reading, and printing. Beside the times stands a figure that no
busy machine disturbs: how many rows the hungriest statement of all pages and all repeated questions reads, as PostgreSQL itself counts them.
Dagster's side is in `growth_dagster.py`. Takes about five minutes; not part of a plain `make bench`.
"""

from __future__ import annotations

import gc
import io
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console

from assets.catalogue import read_catalogue
from benchmarks.growth_dagster import SHORT, dagster_rows
from benchmarks.history import fill
from benchmarks.history_shape import Size
from benchmarks.row import Row
from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.session import Session
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.jobs.recovery import reevaluate_due
from tests.support.postgres import PostgresCluster, binaries
from tests.support.statements import Statement, recorded

ROUNDS: Final = 60
PAGE_MS_MAX: Final = 200.0
SEED_S_MAX: Final = 300.0
ROWS_READ_MAX: Final = 1_100
"""A page has fifty rows, and a thousand behind it are counted."""
COMMANDS: Final = {
    "board": "status",
    "status": "status shop0_prod",
    "evidence_list": "evidence list",
    "evidence_list_environment": "evidence list --environment shop0_dev --kind deployment",
    "promotion_list": "promotion list",
    "release_list": "release list",
    "audit_list": "audit list",
}
QUESTIONS: Final[dict[str, Callable[[ControlPlane], object]]] = {
    "catalogue": read_catalogue,
    "expired_and_due": reevaluate_due,
    "due_for_look": lambda plane: plane.deployments.due_for_look(),
    "live": lambda plane: plane.promotions.all_live(),
    "unfinished": lambda plane: plane.deployments.unfinished(),
    "new_releases": lambda plane: plane.releases.newest_identities(1_000),
}
"""What is asked every second or every few seconds although nothing happens."""


def growth() -> list[Row]:
    """Fill, look, and compare with a fiftieth of the history on the same server."""
    now = datetime.now(UTC)
    with _cluster() as cluster, tempfile.TemporaryDirectory(prefix="stella-growth-") as folder:
        short, full = (_Installation(Path(folder) / name, cluster.url(cluster.create())) for name in ("short", "full"))
        sizes = Size(ends_at=now), Size(releases=200, promotions=2_000, ends_at=now)
        seed_s = full.seed(sizes[0])
        short.seed(sizes[1])
        rows = [Row("growth_seed", seed_s, "s", "limit", SEED_S_MAX), *_pages(full), *_questions(full, short), _hungriest(full)]
        urls = cluster.url(cluster.create()), cluster.url(cluster.create())
        return [*rows, *dagster_rows(*urls, sizes, (full.settings, short.settings), Path(folder) / "dagster", p95_ms)]


def _pages(full: _Installation) -> Iterator[Row]:
    # A command has neither Dagster nor the seed in its memory, which Python's collector would go through again and again here.
    gc.collect()
    gc.freeze()
    with full.opened() as plane:
        for name, command in COMMANDS.items():
            work = partial(_command, plane, command)
            yield Row(f"growth_{name}", p95_ms(work), "ms p95", "limit", PAGE_MS_MAX)
            print(f"stella {command}: {cpu_ms(work):.0f} ms of CPU in this process")  # a busy machine stretches times, and this less


def _questions(full: _Installation, short: _Installation) -> Iterator[Row]:
    """All of them in a row."""
    with full.opened() as plane, short.opened() as other:
        ours, theirs = (p95_ms(partial(_ask_all, one)) for one in (plane, other))
    yield Row("growth_questions", ours, "ms p95", SHORT, theirs)


def _hungriest(full: _Installation) -> Row:
    with full.opened() as plane, recorded() as statements:
        for command in COMMANDS.values():
            _command(plane, command)
        for ask in QUESTIONS.values():
            ask(plane)
    with full.engine.connect() as connection:
        read = {one.text: rows_read(connection, one) for one in statements if one.text.lstrip().upper().startswith(("SELECT", "WITH"))}
    text, most = max(read.items(), key=lambda found: found[1])
    print(f"reads most ({most:,} rows): {' '.join(text.split())[:160]}")
    return Row("growth_rows_read", most, "rows", "limit", ROWS_READ_MAX)


def rows_read(connection: sa.Connection, statement: Statement) -> int:
    """How many rows of tables one statement reads, those included that it throws away."""
    plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}", statement.parameters).scalar_one()
    return _rows_of(plan[0]["Plan"])


def _rows_of(node: dict[str, Any]) -> int:
    own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] if re.search(r"Scan$", node["Node Type"]) else 0
    real = "Relation Name" in node
    return int(own if real else 0) + sum(_rows_of(child) for child in node.get("Plans", ()))


def p95_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The time within which nineteen of twenty calls end; the first one, which fills the caches, does not count."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[int(rounds * 0.95)]


def cpu_ms(work: Callable[[], object]) -> float:
    """What one call costs this process, on average."""
    began = time.process_time()
    for _ in range(ROUNDS):
        work()
    return (time.process_time() - began) * 1000 / ROUNDS


def _ask_all(plane: ControlPlane) -> None:
    for ask in QUESTIONS.values():
        ask(plane)


class _OpenSession(Session):
    """A command line on a control plane that is open already, and stays open."""

    plane: ControlPlane

    @contextmanager
    def control_plane(self, *, create: bool = False) -> Iterator[ControlPlane]:
        del create
        yield self.plane


def _command(plane: ControlPlane, command: str) -> None:
    session = _OpenSession(output=Output(console=Console(file=io.StringIO(), width=160)))
    session.plane = plane
    code = run(command.split(), session)
    if code is not Exit.DONE:
        raise RuntimeError(f"stella {command}: {code.name}")


@dataclass(frozen=True)
class _Installation:
    home: Path
    url: str

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, database_url=self.url)

    @property
    def engine(self) -> sa.Engine:
        return sa.create_engine(self.url, poolclass=sa.pool.NullPool)

    @contextmanager
    def opened(self) -> Iterator[ControlPlane]:
        with open_control_plane(self.settings) as plane:
            yield plane

    def seed(self, size: Size) -> float:
        """Fill it, and let the database count its rows, as its own housekeeping does; how long the filling took."""
        with self.opened() as plane:
            began = time.perf_counter()
            fill(plane, size, FileKey.load_or_create(self.settings.signing_key_path))
            seconds = time.perf_counter() - began
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE"))
        return seconds


@contextmanager
def _cluster() -> Iterator[PostgresCluster]:
    folder = binaries()
    if folder is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install -y --no-install-recommends postgresql")
    cluster = PostgresCluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()
