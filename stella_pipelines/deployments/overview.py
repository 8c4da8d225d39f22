"""All environments at once, for pages that show them side by side: what was proven, what was seen last, what has not ended.

A fixed number of statements, however many environments there are and however long their history is. A look's document holds what every target
said; it is read only of environments where its row does not say already that everything is as proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.deployments import records
from stella_pipelines.deployments.authority import environment_lease
from stella_pipelines.deployments.model import DeploymentRecord, EnvironmentObservation
from stella_pipelines.deployments.tables import observations
from stella_pipelines.store import leases
from stella_pipelines.store.database import Transaction


class Glance(Value):
    """The newest look at an environment without what each target said."""

    environment: str
    release_digest: Digest | None
    observed_at: Instant
    healthy: bool


class Standing(Value):
    """One environment. `look` is None where the glance says that every target runs what was proven, healthy, and where nobody looked yet."""

    proven: DeploymentRecord | None = None
    glance: Glance | None = None
    look: EnvironmentObservation | None = None
    unfinished: DeploymentRecord | None = None
    worked_on: bool = False
    """Whether somebody holds the environment's lease."""

    @property
    def healthy(self) -> bool | None:
        """Whether what was proven last was seen healthy by the newest look; None where nothing was proven."""
        if self.proven is None:
            return None
        return self.glance is not None and self.glance.healthy and self.glance.release_digest == self.proven.release_digest


def standings(tx: Transaction, environments: Sequence[str], now: datetime) -> dict[str, Standing]:
    """Every environment as it stands."""
    proven = records.newest_proven_of_each(tx, environments)
    seen = glances(tx, environments)
    unfinished = {record.environment: record for record in records.all_unfinished(tx)}
    holders = leases.holders(tx, [environment_lease(name) for name in unfinished], now)
    short = {
        name: Standing(proven=proven.get(name), glance=seen.get(name), unfinished=unfinished.get(name), worked_on=environment_lease(name) in holders)
        for name in environments
    }
    looks = _looks(tx, [name for name, standing in short.items() if standing.glance is not None and not standing.healthy])
    return {name: standing.model_copy(update={"look": looks.get(name)}) for name, standing in short.items()}


def glances(tx: Transaction, environments: Sequence[str]) -> dict[str, Glance]:
    """The newest look at each environment that somebody looked at, in short."""
    columns = [observations.c[name] for name in Glance.model_fields]
    rows = tx.connection.execute(sa.select(*columns).where(observations.c.environment.in_(environments))).mappings()
    return {row["environment"]: Glance.model_validate(dict(row)) for row in rows}


def _looks(tx: Transaction, environments: Sequence[str]) -> dict[str, EnvironmentObservation]:
    query = sa.select(observations.c.document).where(observations.c.environment.in_(environments))
    found = [EnvironmentObservation.model_validate_json(document) for document in tx.connection.execute(query).scalars()] if environments else []
    return {look.environment: look for look in found}
