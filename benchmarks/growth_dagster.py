"""Dagster's pages over the same history: a real web server, and the questions that its pages send, beside the same estate with a fiftieth of it.

The time limit of `growth.py` is ours to keep and not Dagster's, so these rows are ratios: what so long a history costs on a page of Dagster.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import dagster as dg
import httpx
import sqlalchemy as sa
from dagster._core.instance.ref import InstanceRef

from assets.catalogue import read_catalogue
from benchmarks.dagster_history import fill_dagster
from benchmarks.history_shape import Shape, Size, environment_name
from benchmarks.row import Row
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, Settings
from stella_pipelines.definitions import definitions

ROOT: Final = Path(__file__).parents[1]
SHORT: Final = "the same estate with a fiftieth of the history"
ROUNDS: Final = 20
START_TIMEOUT_S: Final = 180.0
ENVIRONMENT: Final = environment_name(0, 0)
"""The one with the longest history."""
_KEY: Final = f'{{ path: ["environments", "{ENVIRONMENT}"] }}'
PAGES: Final = {
    "asset_page": f"""{{ assetOrError(assetKey: {_KEY}) {{ ... on Asset {{ assetMaterializations(limit: 50) {{
        runId timestamp partition stepKey tags {{ key value }} metadataEntries {{ label description __typename }} }} }} }} }}""",
    "lineage": """{ assetNodes { assetKey { path } groupName kinds dependencyKeys { path } dependedByKeys { path } isPartitioned isMaterializable
        partitionStats { numMaterialized numPartitions numFailed } assetMaterializations(limit: 1) { timestamp runId } } }""",
    "partition_list": f"""{{ assetNodeOrError(assetKey: {_KEY}) {{ ... on AssetNode {{ partitionKeysByDimension {{ name partitionKeys }}
        assetPartitionStatuses {{ ... on DefaultPartitionStatuses {{ materializedPartitions failedPartitions unmaterializedPartitions }} }} }} }} }}""",
    "runs": """{ runsOrError(limit: 25) { ... on Runs { results { id status jobName startTime endTime tags { key value } } } } }""",
}

P95 = Callable[[Callable[[], object], int], float]


def dagster_rows(url_of_full: str, url_of_short: str, sizes: tuple[Size, Size], settings: tuple[Settings, Settings], folder: Path, p95: P95) -> list[Row]:
    """Fill both, and ask both web servers in turn."""
    homes = [
        _filled(url, size, one, folder / name) for url, size, one, name in zip((url_of_full, url_of_short), sizes, settings, ("full", "short"), strict=True)
    ]
    with _web(homes[0], settings[0]) as full, _web(homes[1], settings[1]) as short:
        pages = [Row(f"growth_{name}", p95(full(query), ROUNDS), "ms p95", SHORT, p95(short(query), ROUNDS)) for name, query in PAGES.items()]
    return [*pages, *(_definitions(settings, p95))]


def _filled(url: str, size: Size, settings: Settings, home: Path) -> Path:
    home.mkdir(parents=True)
    storage = {"storage": {"postgres": {"postgres_url": url}}, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(json.dumps(storage))  # JSON is YAML
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with open_control_plane(settings) as plane, dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        began = time.perf_counter()
        written = fill_dagster(plane, instance, engine, Shape(size))
        print(f"Dagster's tables after {time.perf_counter() - began:.0f} s: {written}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
    return home


def _definitions(settings: tuple[Settings, Settings], p95: P95) -> Iterator[Row]:
    """What loading the code location costs besides starting Python, and how many assets there are."""
    counts, times = [], []
    for one in settings:
        with open_control_plane(one) as plane:
            counts.append(len(_loaded(plane).asset_graph.get_all_asset_keys()))
            times.append(p95(partial(_loaded, plane), ROUNDS))
    yield Row("growth_definitions", times[0], "ms p95", SHORT, times[1])
    yield Row("growth_assets", counts[0], "assets", SHORT, counts[1])


def _loaded(plane: ControlPlane) -> dg.RepositoryDefinition:
    return definitions(read_catalogue(plane)).get_repository_def()


@contextmanager
def _web(home: Path, settings: Settings) -> Iterator[Callable[[str], Callable[[], Any]]]:
    """A web server with its code location; the block gets a function that makes a question of a query."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {**os.environ, "DAGSTER_HOME": str(home), HOME_VARIABLE: str(settings.home), DATABASE_VARIABLE: settings.database_url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-m", "stella_pipelines.definitions"]
    with (home / "web.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, cwd=home, stdout=log, stderr=log, start_new_session=True)
    try:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
        _until_it_answers(client, process, home / "web.log")
        yield lambda query: lambda: _asked(client, query)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _until_it_answers(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if _asked(client, "{ assetNodes { id } }")["assetNodes"]:
                return
        except (httpx.HTTPError, KeyError, ValueError):
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the web server did not come up: {log.read_text()[-2000:]}")
        time.sleep(0.5)


def _asked(client: httpx.Client, query: str) -> Any:
    answer = client.post("/graphql", json={"query": query}).json()
    if answer.get("errors"):
        raise RuntimeError(f"{answer['errors'][0]['message']}")
    return answer["data"]
