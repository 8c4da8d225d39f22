"""Whether an allow still stands at the moment of acting: every gate is asked once more, with the facts of now.

Between the sealed decision and the first effect the deployment may have waited for another one. A freeze may have begun since, an approval
may have expired, or an override; somebody may have given a new report or found the environment before unhealthy. Nothing is stored or sealed here: an
objection sends the promotion back to its gates, and that evaluation is the one that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Gate
from stella_pipelines.promotions import override_rows, records
from stella_pipelines.promotions.archived import why_archived
from stella_pipelines.promotions.facts import StoredFacts
from stella_pipelines.promotions.gates.judging import gather, judge
from stella_pipelines.promotions.gates.port import GateContext, kind_of
from stella_pipelines.promotions.gates.registry import gate_kinds, kind_named
from stella_pipelines.promotions.history import DeploymentHistory
from stella_pipelines.promotions.overrides import ConfirmedOverride, Judged, in_force, overruling
from stella_pipelines.promotions.ports import CurrentEstate, KnownReleases
from stella_pipelines.store.database import Transaction


class Standing:
    """Asks the gates about a promotion that was allowed."""

    def __init__(self, environments: CurrentEstate, releases: KnownReleases, clock: Clock, history: DeploymentHistory) -> None:
        self._environments = environments
        self._releases = releases
        self._clock = clock
        self._history = history

    def objections(
        self, tx: Transaction, promotion_id: str, plan: Mapping[str, Any], plan_digest: Digest, kinds: frozenset[str] | None = None
    ) -> tuple[str, ...]:
        """Why the promotion may not be carried out now, one line per gate that does not allow it; empty when all do. `kinds`: only such gates."""
        promotion = records.promotion(tx, promotion_id)
        estate, _ = self._environments.current(tx)
        environment = estate.environment(promotion.environment)
        if environment is None:
            return (f"The estate has no environment {promotion.environment} any more.",)
        release = self._releases.by_digest(promotion.release_digest)
        archived = why_archived(tx, release)
        if archived is not None:
            return (archived,)  # whatever the gates say, and whichever of them are asked
        facts = StoredFacts(tx, promotion, self._history, self._releases)
        context = GateContext(release, environment, estate, promotion, plan, plan_digest, self._clock.now(), facts)
        gates = () if environment.gates == "none" else environment.gates
        asked = [gate for gate in gates if kinds is None or kind_of(gate) in kinds]
        overrides = in_force(override_rows.about(tx, promotion.environment, promotion.release_digest, plan_digest), environment, context.now)
        return tuple(line for gate in asked if (line := _objection(gate, context, overrides, plan_digest)) is not None)


def _objection(gate: Gate, context: GateContext, overrides: Sequence[ConfirmedOverride], plan_digest: Digest) -> str | None:
    kind = kind_named(gate_kinds(), kind_of(gate))
    inputs = gather(kind, gate, context)
    verdict, promotion = judge(kind, inputs), context.promotion
    about = Judged(
        environment=promotion.environment,
        release_digest=promotion.release_digest,
        plan_digest=plan_digest,
        requested_by=promotion.requested_by,
        at=context.now,
    )
    if verdict.verdict == "allow" or overruling(overrides, gate.name, inputs.kind, verdict, about) is not None:
        return None
    return f"{gate.name}: {verdict.verdict}. {' '.join(verdict.reasons)}"
