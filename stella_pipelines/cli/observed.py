"""What the newest look at an environment showed, in a few words for the board. Pure.

A target's labels are claims: a release is named only when the digests that run are its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from stella_pipelines.connectors.port import RunningComponent
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.model import EnvironmentObservation, TargetObservation
from stella_pipelines.releases.model import ReleaseRecord

ReleaseOf = Callable[[Digest], ReleaseRecord | None]
"""The release with a digest; None when this installation does not know it."""


def what_runs(proven: ReleaseRecord | None, seen: EnvironmentObservation | None, components: Sequence[str], release_of: ReleaseOf) -> str:
    """`shop-2`; or what was seen instead, such as `shop-2 on 3 of 3 (shop-1 was proven)`. `components`: what the environment runs of a release."""
    if seen is None or not seen.targets or (proven is not None and seen.as_released and seen.release_digest == proven.digest):
        return proven.label if proven else "nothing yet"
    shown = Counter(runs_on(target, components, release_of) for target in seen.targets)
    if proven is None and set(shown) == {"nothing"}:
        return "nothing yet"
    told = f" ({proven.label} was proven)" if proven else " (not proven)"
    if len(shown) == 1:
        return f"{next(iter(shown))} on {len(seen.targets)} of {len(seen.targets)}{told}"
    return f"mixed: {', '.join(f'{what} on {count}' for what, count in shown.most_common())} of {len(seen.targets)}{told}"


def runs_on(target: TargetObservation, components: Sequence[str], release_of: ReleaseOf) -> str:
    """What one target runs: a release, `nothing`, or in what way it is neither."""
    if target.observation is None:
        return "no answer"
    wanted = [found for found in target.observation.components if found.running and (not components or found.component in components)]
    if not wanted:
        return "nothing"
    claimed = {found.release_digest for found in wanted}
    if len(claimed) > 1:
        return "several releases"
    digest = next(iter(claimed))
    release = release_of(digest) if digest else None
    return "something unknown" if release is None else _of(release, wanted, components)


def _of(release: ReleaseRecord, running: Sequence[RunningComponent], components: Sequence[str]) -> str:
    own = {image.name: {platform.digest for platform in image.platforms} for image in release.release.components}
    if any(found.platform_digest not in own.get(found.component, ()) for found in running):
        return f"something else than {release.label}"
    missing = set(components or own) - {found.component for found in running}
    return f"only a part of {release.label}" if missing else release.label
