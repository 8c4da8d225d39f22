"""An installation on disk whose first releases were decided years ago, for the command line: real services under a clock that stands back."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Final

from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from tests.support.installation import ALICE, add_release, shop_estate
from tests.support.past import decide

LONG_AGO: Final = datetime(2015, 3, 1, 9, 0, tzinfo=UTC)


class PastClock:
    """Years ago; an hour later each day that is asked for."""

    def __init__(self) -> None:
        self.hours = 0

    def now(self) -> datetime:
        return LONG_AGO + timedelta(hours=self.hours)


def grown_old() -> list[str]:
    """Two releases with a decision each, long ago, in the installation that the environment names; the ids of the decisions' packets."""
    clock = PastClock()
    with open_control_plane(Settings.from_environ(os.environ), clock=clock) as plane:
        estate = shop_estate()
        plane.environments.apply(ALICE, estate, source_digest=estate.content_digest())
        found = []
        for version in ("1.0.0", "1.1.0"):
            found.append(decide(plane, add_release(plane, version), "dev"))
            clock.hours += 24
        plane.log.take_in()
        return found
