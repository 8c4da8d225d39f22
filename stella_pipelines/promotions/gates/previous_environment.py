"""The previous environment gate: this very release was deployed upstream, is observed healthy there, and has been healthy for long enough.

Soaking counts healthy time only: an unhealthy spell starts it again. That something is healthy is known up to the last look and no further,
so the soak must have ended by then, and a look that is too old is none: both wait for the next one. Where the release never was, waiting
would wait for something that nobody started, so that is a denial which says what to do.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Gate, PreviousEnvironmentGateConfig, UpstreamRule
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateVerdict, allow, deny, error, wait
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.promotions.wording import moment, span

OBSERVATION_AGE_S_MAX: Final = 900.0
"""A look at an environment tells nothing about it any more when it is older than this."""
LOOK_AGAIN_S_MIN: Final = 1.0
LOOK_AGAIN_S_MAX: Final = 60.0
"""How soon the gate is asked again when it waits for a look: as soon as the last one is old, within these two."""


class Upstream(Value):
    """What is known about the release in one upstream environment."""

    environment: str
    proven: ProvenDeployment | None


class PreviousInputs(Value):
    """Every upstream environment, the rule over them, and the moment asked about."""

    environment: str
    release: str
    rule: UpstreamRule
    soak_s: float
    upstreams: tuple[Upstream, ...]
    now: Instant
    observation_age_s_max: float = OBSERVATION_AGE_S_MAX


class PreviousEnvironmentGate:
    """See the module's docstring."""

    kind = "previous_environment"

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        """The newest proven deployment of this release in each upstream environment."""
        config, environment = gate.config, context.environment
        if not isinstance(config, PreviousEnvironmentGateConfig):
            raise TypeError("not a previous_environment gate")
        facts = PreviousInputs(
            environment=environment.name,
            release=context.release.label,
            rule=environment.promotes_from_rule,
            soak_s=config.soak_s,
            upstreams=tuple(Upstream(environment=name, proven=context.facts.last_proven(name)) for name in environment.promotes_from),
            now=context.now,
        )
        return GateInputs(name=gate.name, kind=self.kind, facts=facts.document())

    def judge(self, inputs: GateInputs) -> GateVerdict:
        """`all`: every upstream must allow. `any`: the best one counts."""
        facts = PreviousInputs.model_validate(inputs.facts)
        if not facts.upstreams:
            return error(
                f"{facts.environment} promotes from no environment, so there is none to ask.", would_change=("Declare 'promotes_from' in the estate.",)
            )
        verdicts = [_judge_one(upstream, facts) for upstream in facts.upstreams]
        return _any_of(verdicts) if facts.rule is UpstreamRule.ANY else _all_of(verdicts)


def _judge_one(upstream: Upstream, facts: PreviousInputs) -> GateVerdict:
    where, proven = upstream.environment, upstream.proven
    if proven is None:
        return deny(
            f"{facts.release} was never deployed and proven in {where}.",
            would_change=(f"Promote {facts.release} to {where} first, then request {facts.environment} again.",),
        )
    age_s = (facts.now - proven.observed_at).total_seconds()
    if age_s > facts.observation_age_s_max:
        said = f"{where} was last looked at {span(age_s)} ago, at {moment(proven.observed_at)}; no more than {span(facts.observation_age_s_max)} is trusted."
        return _wait_for_a_look(where, said, facts, age_s)
    if not proven.healthy or proven.healthy_since is None:
        return deny(
            f"{facts.release} was not observed running healthy in {where} at {moment(proven.observed_at)}.",
            would_change=(f"Bring {facts.release} up in {where} until it is observed healthy there, then request {facts.environment} again.",),
        )
    return _judge_soak(where, proven, proven.healthy_since, facts)


def _judge_soak(where: str, proven: ProvenDeployment, healthy_since: Instant, facts: PreviousInputs) -> GateVerdict:
    soaked_at = healthy_since + timedelta(seconds=facts.soak_s)
    seen = f"{facts.release} is healthy in {where} since {moment(healthy_since)}, observed at {moment(proven.observed_at)}"
    if facts.now < soaked_at:
        missing = f"{seen}; it must soak for {facts.soak_s:g} s, which ends at {moment(soaked_at)}."
        return wait(missing, until=soaked_at, would_change=("Only healthy time changes this; it is asked again when the soak ends.",))
    if proven.observed_at < soaked_at:
        said = f"{seen}; its soak of {facts.soak_s:g} s ended at {moment(soaked_at)}, and nobody looked since."
        return _wait_for_a_look(where, said, facts, (facts.now - proven.observed_at).total_seconds())
    return allow(f"{seen} (deployment {proven.deployment_id}).")


def _wait_for_a_look(where: str, reason: str, facts: PreviousInputs, age_s: float) -> GateVerdict:
    """Asking the gates again takes a new look first. The older the last one, the longer it pauses: those before did not come through either."""
    again = facts.now + timedelta(seconds=min(max(age_s, LOOK_AGAIN_S_MIN), LOOK_AGAIN_S_MAX))
    return wait(reason, until=again, would_change=(f"A new look at {where}, which is taken when the gate is asked again by itself at {moment(again)}.",))


def _all_of(verdicts: list[GateVerdict]) -> GateVerdict:
    for name in ("deny", "wait"):
        chosen = [verdict for verdict in verdicts if verdict.verdict == name]
        if chosen:
            return _joined(chosen, latest=True)
    return _joined(verdicts, latest=True)


def _any_of(verdicts: list[GateVerdict]) -> GateVerdict:
    for name in ("allow", "wait"):
        chosen = [verdict for verdict in verdicts if verdict.verdict == name]
        if chosen:
            return _joined(chosen, latest=False)
    return _joined(verdicts, latest=False)


def _joined(verdicts: list[GateVerdict], *, latest: bool) -> GateVerdict:
    """Verdicts of one kind as one. Waiting for all ends with the latest time, waiting for any with the earliest."""
    times = [verdict.wait_until for verdict in verdicts if verdict.wait_until is not None]
    until = (max(times) if latest else min(times)) if times else None
    reasons = tuple(reason for verdict in verdicts for reason in verdict.reasons)
    changes = tuple(change for verdict in verdicts for change in verdict.would_change)
    return GateVerdict(verdict=verdicts[0].verdict, reasons=reasons, would_change=changes, wait_until=until)
