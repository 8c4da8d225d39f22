"""Fresh databases for tests, on both servers, quickly: migrated once per session as a template, copied for every test.

`STELLA_TEST_DATABASES` (sqlite, postgres, or both with a comma; default both) selects which ones the `store` fixture runs on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stella_pipelines.store.database import Store
from tests.support.dagster_postgres import prepare_dagster
from tests.support.postgres import PostgresCluster, start_or_skip

KINDS = ("sqlite", "postgres")


def selected_kinds() -> tuple[str, ...]:
    """The databases that this run of the tests uses; an unknown or empty selection is refused."""
    wanted = tuple(part.strip() for part in os.environ.get("STELLA_TEST_DATABASES", ",".join(KINDS)).split(","))
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown:
        raise ValueError(f"STELLA_TEST_DATABASES names {unknown}; choose from {', '.join(KINDS)}")
    return wanted


class Databases:
    """Gives out fresh databases. One per pytest process; PostgreSQL starts when it is first wanted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster: PostgresCluster | None = None
        self._postgres_template: str | None = None
        self._template_with_dagster: str | None = None
        self._count = 0

    @property
    def cluster(self) -> PostgresCluster:
        """The PostgreSQL server of this pytest process."""
        if self._cluster is None:
            self._cluster = start_or_skip()
        return self._cluster

    @contextmanager
    def fresh(self, kind: str, *, migrated: bool = True, with_dagster: bool = False) -> Iterator[str]:
        """The URL of a database of this test's own; it is gone afterwards. `with_dagster`: on PostgreSQL, with Dagster's tables beside ours."""
        if kind == "sqlite":
            path = self._fresh_sqlite(migrated)
            yield f"sqlite:///{path}"
            for left in self._folder.glob(f"{path.name}*"):  # the database and its write-ahead log
                left.unlink()
            return
        template = self._dagster_template() if with_dagster else self._template_on_postgres() if migrated else None
        name = self.cluster.create(template)
        try:
            yield self.cluster.url(name)
        finally:
            self.cluster.drop(name)

    def close(self) -> None:
        """Stop what was started."""
        if self._cluster is not None:
            self._cluster.stop()

    def _fresh_sqlite(self, migrated: bool) -> Path:
        template = self._folder / "template.db"
        if migrated and not template.exists():
            Store.open(f"sqlite:///{template}").close()
        self._count += 1
        path = self._folder / f"{self._count}.db"
        if migrated:
            shutil.copyfile(template, path)
        return path

    def _template_on_postgres(self) -> str:
        if self._postgres_template is None:
            name = self.cluster.create()
            Store.open(self.cluster.url(name)).close()
            self._postgres_template = name
        return self._postgres_template

    def _dagster_template(self) -> str:
        if self._template_with_dagster is None:
            name = self.cluster.create(self._template_on_postgres())
            prepare_dagster(self.cluster.url(name))
            self._template_with_dagster = name
        return self._template_with_dagster
