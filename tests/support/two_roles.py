"""A PostgreSQL database with the two roles that `deploy/postgres-roles.sql` makes, as an administrator makes them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.postgres import PostgresCluster

ROLES_FILE = Path(__file__).parents[2] / "deploy" / "postgres-roles.sql"


@dataclass(frozen=True)
class TwoRoles:
    """One database and its addresses, by role."""

    cluster: PostgresCluster
    name: str
    owner: str
    application: str

    @property
    def administrator_url(self) -> str:
        return self.cluster.url(self.name)

    @property
    def owner_url(self) -> str:
        return self._as(self.owner)

    @property
    def application_url(self) -> str:
        return self._as(self.application)

    def _as(self, role: str) -> str:
        return self.cluster.url(self.name).replace("postgres@", f"{role}@")

    def run_roles_file(self) -> None:
        """Run it with `psql`; it must end well."""
        variables = ("-v", f"owner={self.owner}", "-v", f"application={self.application}")
        command = ("psql", "-X", "-h", str(self.cluster.folder), "-U", "postgres", "-d", self.name, *variables, "-f", str(ROLES_FILE))
        done = subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
        assert done.returncode == 0, done.stderr


@contextmanager
def two_roles(cluster: PostgresCluster, owner: str = "other_owner", application: str = "other_app") -> Iterator[TwoRoles]:
    """An empty database; the roles are gone afterwards."""
    name = cluster.create()
    try:
        made = TwoRoles(cluster, name, owner, application)
        made.run_roles_file()
        yield made
    finally:
        cluster.drop(name)
        for role in (application, owner):
            cluster.administer(f"DROP ROLE IF EXISTS {role}")
