"""Asking every target of an environment at the same time, and making the plan of what they answer. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from stella_pipelines.connectors.port import Observation, Probe
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import FANOUT_MAX
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.connections import Connections, Connectors
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.plan import Plan, SpecIndex, make_plan, plan_incomplete
from stella_pipelines.deployments.reaching import reach
from stella_pipelines.deployments.wanted import Wanted
from stella_pipelines.environments.model import Environment, Estate, Target
from stella_pipelines.releases.model import ReleaseRecord


class Answer(Value):
    """What a target said, or why it said nothing."""

    target: str
    probe: Probe | None = None
    observation: Observation | None = None
    failure: Failure | None = None


async def ask_targets(targets: Sequence[Target], connectors: Connectors, clock: Clock) -> tuple[Answer, ...]:
    """Probe and observe every target, at most `FANOUT_MAX` at the same moment."""
    places = asyncio.Semaphore(FANOUT_MAX)
    async with Connections({target.name: target for target in targets}, connectors) as connections:

        async def ask(target: Target) -> Answer:
            async with places:
                return await _ask(target.name, connections, clock)

        return tuple(await asyncio.gather(*(ask(target) for target in targets)))


async def _ask(target: str, connections: Connections, clock: Clock) -> Answer:
    async def both() -> tuple[Probe, Observation]:
        connector = await connections.to(target)
        return await connector.probe(), await connector.observe(clock.now())

    try:
        probe, observation = await reach(both, lambda: connections.drop(target))
    except StellaError as error:
        return Answer(target=target, failure=Failure.of(error, target))
    return Answer(target=target, probe=probe, observation=observation)


async def plan_environment(
    record: ReleaseRecord,
    environment: Environment,
    estate: Estate,
    *,
    revision: int,
    connectors: Connectors,
    clock: Clock,
    known_specs: Callable[[Sequence[Observation]], SpecIndex],
    wanted: Wanted,
) -> Plan:
    """The plan for an environment. Raises `PlanIncomplete` that names every target which could not be asked."""
    answers = await ask_targets(estate.targets_of(environment.name), connectors, clock)
    problems = [f"{answer.target}: {answer.failure.code} {answer.failure.what}" for answer in answers if answer.failure]
    if problems:
        raise plan_incomplete(environment.name, problems)
    observations: Mapping[str, Observation] = {answer.target: answer.observation for answer in answers if answer.observation}
    probes: Mapping[str, Probe] = {answer.target: answer.probe for answer in answers if answer.probe}
    specs = known_specs(list(observations.values()))
    return make_plan(record, environment, estate, revision=revision, observations=observations, probes=probes, known_specs=specs, wanted=wanted)
