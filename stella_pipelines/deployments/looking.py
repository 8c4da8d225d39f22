"""Looking at environments between deployments: asking every target what it runs, and remembering the answer with its time.

What a gate knows about the environment before it is what somebody saw there last, so looks are repeated (see `sensors/observations.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from stella_pipelines.core.clock import Clock
from stella_pipelines.deployments import observing, records
from stella_pipelines.deployments.connections import Connectors
from stella_pipelines.deployments.drift_watch import DriftWatch
from stella_pipelines.deployments.limits import LOOK_AGAIN_S
from stella_pipelines.deployments.model import EnvironmentObservation
from stella_pipelines.deployments.observing import Expected
from stella_pipelines.deployments.overview import glances
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.planning import require_environment
from stella_pipelines.environments.service import Environments
from stella_pipelines.store.database import Store


class Looks:
    """Takes looks and keeps the newest one of each environment."""

    def __init__(self, store: Store, environments: Environments, connectors: Connectors, clock: Clock, drift: DriftWatch) -> None:
        self._store = store
        self._environments = environments
        self._connectors = connectors
        self._clock = clock
        self._drift = drift

    async def observe(self, environment: str) -> EnvironmentObservation:
        """Ask every target what it runs, compare it with what was proven there last, and remember the answer with its time."""
        estate, _ = self._environments.current()
        require_environment(estate, environment)
        with self._store.reading() as tx:
            expected = observing.expected_now(tx, environment)
        seen = await observing.look(environment, estate.targets_of(environment), expected, self._connectors, self._clock)
        return await patiently(lambda: self._save(seen, expected))

    def last(self, environment: str) -> EnvironmentObservation | None:
        """The newest look at an environment, without a new one."""
        with self._store.reading() as tx:
            return observing.last(tx, environment)

    def due(self) -> list[str]:
        """Environments with a proven deployment that nobody has looked at for a while, the longest unseen first."""
        with self._store.reading() as tx:
            proven = records.newest_proven_of_each(tx, [one.name for one in self._environments.current(tx)[0].environments])
            seen = glances(tx, list(proven))
        seen_at = [(name, seen[name].observed_at if name in seen else None) for name in proven]
        return due_for_look(seen_at, self._clock.now())

    def _save(self, seen: EnvironmentObservation, expected: Expected) -> EnvironmentObservation:
        with self._store.writing() as tx:
            proven = records.newest_proven(tx, seen.environment)
            if (proven.id if proven else None) != seen.deployment_id:
                return seen  # a deployment ended while this look was taken: it judged by the one before, and the newer look stays
            before = observing.last(tx, seen.environment, locked=True)  # or two looks at once would both tell of the same drift
            drift = self._drift.judge(tx, seen, expected, proven, before.drift if before else None, self._clock.now())
            return observing.remember(tx, before, seen.model_copy(update={"drift": drift}))


def due_for_look(seen_at: Sequence[tuple[str, datetime | None]], now: datetime) -> list[str]:
    """Which environments are looked at again now, the longest unseen first. Pure. A look from the future (a clock that jumped) counts as old."""
    due = [(name, at) for name, at in seen_at if at is None or at > now or now - at >= timedelta(seconds=LOOK_AGAIN_S)]
    return [name for name, at in sorted(due, key=lambda one: (one[1] is not None, one[1], one[0]))]
