"""The `dagster.yaml` of an installation: the embedded one, with a storage that keeps its connections and logs without copies. Pure.

`deploy/dagster.postgres.yaml` is written by the same function (`make docs`), for processes that are started without `stella up`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from stella_pipelines.core.settings import DATABASE_VARIABLE

POSTGRES_STORAGE: Final = f"""\
# PostgreSQL: the schema `dagster` of the store's database. The URL comes from the environment, so that no password stands here.
storage:
  custom:
    module: stella_pipelines.jobs.storage.postgres_storage
    class: PooledPostgresStorage
    config:
      database_url:
        env: {DATABASE_VARIABLE}
"""
SQLITE_STORAGE: Final = """\
# Dagster's own SQLite files, with connections that stay open.
storage:
  custom:
    module: stella_pipelines.jobs.storage.sqlite_storage
    class: WarmSqliteStorage
    config:
      base_dir: {folder}
"""
COMPUTE_LOGS: Final = """\
# What steps print: the same files as Dagster's, without the four processes per run that copy it to the runner's output.
compute_logs:
  module: stella_pipelines.jobs.storage.compute_logs
  class: QuietComputeLogManager
  config:
    home: {folder}
"""
_STORAGE_BLOCK: Final = re.compile(r"(?:^#.*\n)*^storage:.*\n(?:(?: .*)?\n)*", re.MULTILINE)


def for_database(embedded: str, database_url: str, folder: Path) -> str:
    """What `stella up` writes into `folder` for this database."""
    place = json.dumps(str(folder))  # JSON is YAML
    on_sqlite = database_url.startswith("sqlite")
    on_database = _with(embedded, SQLITE_STORAGE.format(folder=place)) if on_sqlite else on_postgres(embedded)
    return _with(on_database, COMPUTE_LOGS.format(folder=place))


def on_postgres(embedded: str) -> str:
    """The embedded configuration with PostgreSQL in the place of its storage. The comments stay."""
    return _with(_STORAGE_BLOCK.sub("", embedded), POSTGRES_STORAGE)


def deployed_on_postgres(embedded: str) -> str:
    """`deploy/dagster.postgres.yaml`."""
    return f"# Generated from dagster.yaml by `make docs`: change that one.\n{_with(on_postgres(embedded), COMPUTE_LOGS.format(folder='{env: DAGSTER_HOME}'))}"


def _with(text: str, block: str) -> str:
    return f"{text.rstrip()}\n\n{block}"
