"""Who did it. Every use case takes an actor, and every audit entry and packet names one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from stella_pipelines.core.values import Value

ActorName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]


class Actor(Value):
    """A person or the control plane itself. `via` says through which door the actor came."""

    name: ActorName
    kind: Literal["human", "system"] = "human"
    via: Literal["cli", "dagster", "sensor", "test"] = "cli"


SYSTEM = Actor(name="stella", kind="system", via="dagster")
