"""One process that asks for promotions and decides them without end, or takes what was sealed into the log; to be killed by tests.

`python -m tests.support.deciding_process HOME DATABASE_URL ENVIRONMENT` decides, and `… HOME DATABASE_URL --log` keeps the log. It goes on with
whatever the process before it left behind.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.settings import Settings
from stella_pipelines.environments.model import Environment, Estate, FreezeGateConfig, Gate, SecurityGateConfig
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.store import outbox
from stella_pipelines.store.errors import Conflict, DatabaseBusy
from tests.support.installation import ALICE, shop_estate

ALLOWING, DENYING = "open", "strict"
PLAN: Final = {"targets": []}
PAUSE_S: Final = 0.02


def gated_estate() -> Estate:
    """Two environments: one is never frozen and lets everything in, the other wants reports that nobody gives."""
    gates = {ALLOWING: Gate(name="frozen", config=FreezeGateConfig()), DENYING: Gate(name="scanned", config=SecurityGateConfig())}
    return shop_estate().model_copy(update={"environments": tuple(Environment(name=name, gates=(gate,)) for name, gate in gates.items())})


def ready_mark(home: Path, pid: int) -> Path:
    """The file that a process leaves when it has begun: starting Python takes longer than many decisions."""
    return home / f"ready-{pid}"


def decide_without_end(plane: ControlPlane, environment: str) -> None:
    """Again and again. What is allowed is cancelled, so that the next may be asked for."""
    release = plane.releases.get("shop", "1.0.0").digest
    assert release is not None
    while True:
        try:
            go_on(plane, environment, release)
        except (Conflict, DatabaseBusy):
            continue  # somebody else was quicker; look again


def go_on(plane: ControlPlane, environment: str, release: Digest) -> None:
    """Ask, decide what was not decided, or end what was allowed."""
    live = plane.promotions.live(environment)
    if live is not None and live.state is PromotionState.APPROVED:
        plane.promotions.cancel(ALICE, live.id, "next one")
        return
    decide(plane, live or plane.promotions.request(ALICE, environment=environment, release_digest=release, reason="again"))


def decide(plane: ControlPlane, live: Promotion) -> None:
    """One evaluation, as the promotion job does it."""
    with plane.store.reading() as tx:
        row = outbox.latest(tx, "promotion", live.id)
    assert row is not None
    evaluation = plane.promotions.begin_evaluation(live.id, row.attempt, PLAN)
    for gate in evaluation.gates:
        plane.promotions.evaluate_gate(evaluation.id, gate)
    plane.promotions.decide(evaluation.id)


def keep_log_without_end(plane: ControlPlane) -> None:
    """As the submitter does, only more often."""
    while True:
        plane.log.take_in()
        time.sleep(PAUSE_S)


def main(home: Path, database_url: str, what: str) -> None:
    """Until it is killed."""
    with open_control_plane(Settings(home=home, database_url=database_url)) as plane:
        ready_mark(home, os.getpid()).touch()
        if what == "--log":
            keep_log_without_end(plane)
        decide_without_end(plane, what)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
