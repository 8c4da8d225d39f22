"""In what an environment differs from what was released, in words: which target, which component, and how. Pure.

The same difference is always said in the same words, so two results of the check can be compared by what they say.
"""

from __future__ import annotations

from typing import Final

from stella_pipelines.connectors.port import Observation
from stella_pipelines.deployments.model import EnvironmentObservation, TargetObservation
from stella_pipelines.deployments.observing import Wanted

DIFFERENCES_SAID_MAX: Final = 10
"""How many differences a result names; its table has all targets."""


def says(observation: EnvironmentObservation, wanted: Wanted) -> str:
    """A few sentences. Unknown is not as released."""
    if not observation.targets:
        return f"{observation.environment} has no targets, so nothing can be proven."
    if observation.deployment_id is None:
        return f"Nothing was deployed into {observation.environment} yet."
    found = [difference for target in observation.targets if not target.as_released for difference in differences(target, wanted)]
    if not found:
        return "Every target runs what was released."
    more = len(found) - DIFFERENCES_SAID_MAX
    return " ".join([*found[:DIFFERENCES_SAID_MAX], *([f"And {more:,} more differences."] if more > 0 else [])])


def differences(target: TargetObservation, wanted: Wanted) -> list[str]:
    """One sentence for each component of a target that is not as released."""
    if target.observation is None:
        # The code, and not the whole error: a time limit or a port in its text would make every look at the same outage a new result.
        return [f"{target.target}: no answer ({target.failure.code if target.failure else 'unknown'})."]
    released = {component.name: component.platform_digest for component in wanted.get(target.target, ())}
    found = [f"{target.target}: {said}" for name, digest in sorted(released.items()) if (said := _component(target.observation, name, digest))]
    return found or [f"{target.target}: nothing is proven to have been released there."]


def _component(seen: Observation, name: str, released: str) -> str | None:
    running = seen.running(name)
    if running is None:
        return f"{name} does not run."
    if running.platform_digest != released:
        return f"{name} runs {_short(running.platform_digest)} instead of {_short(released)}."
    return None


def _short(digest: str | None) -> str:
    return digest.removeprefix("sha256:")[:12] if digest else "an image without a digest"
