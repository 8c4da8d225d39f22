"""Names that a person types, checked before anything else is asked: a typo is answered with what was probably meant."""

from __future__ import annotations

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.environments.problems import nearest
from stella_pipelines.promotions.errors import EnvironmentUnknown


def require_environment(plane: ControlPlane, name: str) -> None:
    """Nothing, when the applied estate declares the environment."""
    estate, revision = plane.environments.current()
    if estate.environment(name) is not None:
        return
    known = [environment.name for environment in estate.environments]
    near = nearest(name, known)
    meant = f"Did you mean {near}? " if near else ""
    there = f"There are: {', '.join(known)}." if revision else "No estate is applied yet: write estate.yaml, then 'stella apply -f estate.yaml'."
    raise EnvironmentUnknown(f"The estate declares no environment {name[:80]!r}.", next_step=meant + there)
