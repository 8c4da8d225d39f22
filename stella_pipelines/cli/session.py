"""What one command line runs with: the installation, who is asking, and where the answer goes."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import typer
from pydantic import ValidationError

from stella_pipelines.cli.output import Output
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import Settings

ACTOR_VARIABLE = "STELLA_ACTOR"


class UnknownActor(StellaError):
    """The name given for who is asking cannot be a person's name."""

    code = "AUTH_ACTOR_INVALID"


@dataclass
class Session:
    """The state that the options before the command set up."""

    output: Output = field(default_factory=Output)
    actor_name: str | None = None

    def actor(self) -> Actor:
        """Who is asking: `--as`, `STELLA_ACTOR`, or the account that runs the command."""
        name = self.actor_name if self.actor_name is not None else os.environ.get(ACTOR_VARIABLE) or getpass.getuser()
        try:
            return Actor(name=name, via="cli")
        except ValidationError as error:
            raise UnknownActor(f"{name[:80]!r} is not a name that can be recorded.", next_step="Use letters, digits and . _ @ + - (--as alice).") from error

    @contextmanager
    def control_plane(self, *, create: bool = False) -> Iterator[ControlPlane]:
        """The installation that the environment names, for the length of one command. `create`: the command may begin one."""
        with open_control_plane(Settings.from_environ(os.environ), create=create) as plane:
            yield plane


def session_of(context: typer.Context) -> Session:
    """The session that the root callback made; `--json` and `--as` work before and after the command's name."""
    session = context.find_object(Session)
    if session is None:
        raise RuntimeError("a command ran without the root callback")
    return session


def _use_json(context: typer.Context, value: bool) -> bool:
    if value:
        session_of(context).output.as_json = True
    return value


def _use_actor(context: typer.Context, value: str | None) -> str | None:
    if value is not None:
        if not value.strip():  # a script whose variable was empty must not act as its account
            raise UnknownActor("--as was given without a name.", next_step="Name who asks (--as alice), or leave --as out.")
        session_of(context).actor_name = value
    return value


JsonOption = Annotated[bool, typer.Option("--json", callback=_use_json, help="Print one JSON document instead of text.")]
ActorOption = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="NAME", callback=_use_actor, help="Who asks (default: $STELLA_ACTOR, else your account; an empty $STELLA_ACTOR counts as unset)."
    ),
]
