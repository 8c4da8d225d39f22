"""The control plane as a Dagster resource: opened when a run or a sensor's tick begins, closed when it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import dagster as dg
from pydantic import Field, PrivateAttr

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.requests import current_request, new_request, request
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, Settings


class ControlPlaneResource(dg.ConfigurableResource["ControlPlaneResource"]):
    """Every service of one installation."""

    home: str = Field(default="", description="The installation's folder; empty: $STELLA_HOME, else ./.stella.")
    database_url: str = Field(default="", description="sqlite:///… or postgresql://…; empty: $STELLA_DATABASE_URL, else SQLite in the home.")

    _plane: ControlPlane | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        # A tick has no run, and opens the resource once for each resource that needs it.
        with request(context.run.run_id if context.run else current_request() or new_request()), self.opened():
            yield self

    @contextmanager
    def opened(self) -> Iterator[ControlPlane]:
        """Open the installation for a block."""
        with open_control_plane(self.settings()) as plane:
            self._plane = plane
            try:
                yield plane
            finally:
                self._plane = None

    @property
    def plane(self) -> ControlPlane:
        """The open control plane."""
        if self._plane is None:
            raise RuntimeError("the control plane resource is used outside of a run or tick")
        return self._plane

    def settings(self) -> Settings:
        """The settings with this resource's configuration laid over the environment."""
        given = {HOME_VARIABLE: self.home, DATABASE_VARIABLE: self.database_url}
        return Settings.from_environ({**os.environ, **{name: value for name, value in given.items() if value}})
