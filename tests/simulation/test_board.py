"""The board tells what runs and what has not ended, also after a deployment failed and after a process died."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stella_pipelines.cli.board import board, show_board
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.unfinished import unfinished_in
from stella_pipelines.core.limits import LEASE_TTL_S
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import AllAtOnce, Rolling
from stella_pipelines.store.database import Store
from tests.simulation.faults import Killed
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock, simulate
from tests.simulation.world import World
from tests.support.databases import Databases


@pytest.fixture
def installation(databases: Databases) -> Iterator[Installation]:
    with databases.fresh("sqlite") as url:
        clock, store = SimulatedClock(), Store.open(url)
        yield Installation(store, clock, World(clock))
        store.close()


def plane_of(installation: Installation) -> Any:
    """What the board reads of a control plane."""
    names = ("store", "clock", "environments", "deployments", "releases", "promotions")
    return SimpleNamespace(**{name: getattr(installation, name) for name in names})


def shown(installation: Installation) -> str:
    text = io.StringIO()
    show_board(Output(console=Console(file=text, width=200)), board(plane_of(installation)), installation.clock.now())
    return text.getvalue()


def test_a_failed_deployment_that_stays_is_what_runs(installation: Installation) -> None:
    installation.apply(make_estate(3, AllAtOnce(), rollback_on_failure=False))
    installation.deploy(installation.release("1"))
    (row,) = board(plane_of(installation))
    assert (row.runs, row.release) == ("shop-1", "shop-1")
    assert str(row.release_digest).removeprefix("sha256:")[:12] in shown(installation)
    installation.world.unhealthy.add(image("web", "2").digest)
    assert installation.deploy(installation.release("2")).state is DeploymentState.FAILED
    for _ in range(2):
        (row,) = board(plane_of(installation))
        assert row.runs == "shop-2 on 3 of 3 (shop-1 was proven)"
        assert row.release == "shop-1"
        assert row.healthy is False
        assert str(row.release_digest).removeprefix("sha256:")[:12] not in shown(installation)
        simulate(installation.clock, installation.deployments.observe("prod"))


@pytest.mark.parametrize(
    ("command", "next_step"),
    [
        ("rollback", "It goes on by itself while `stella up` runs, or now with `stella rollback prod`."),
        ("retry", "It goes on by itself while `stella up` runs, or now with `stella retry prod`."),
        ("promotion", "It goes on by itself while `stella up` runs; `stella rollback prod` takes it back."),
    ],
)
def test_a_deployment_whose_process_died_is_shown_with_its_way_on(installation: Installation, command: str, next_step: str) -> None:
    installation.apply(make_estate(2, Rolling(batch=1), rollback_on_failure=False))
    for version in ("1", "2"):
        installation.deploy(installation.release(version))
    installation.world.crashing.add(image("web", "3").digest)
    third = installation.deploy(installation.release("3"))
    assert unfinished_in(plane_of(installation), "prod") is None
    fourth = installation.approve(installation.release("4")) if command == "promotion" else None
    mortal = installation.reborn(die_at="before activate on host-1")
    with pytest.raises(Killed):
        if fourth is not None:
            mortal.run(fourth.id)
        elif command == "retry":
            mortal.retry(third.id)
        else:
            mortal.rollback()
    after = mortal.reborn()
    found = unfinished_in(plane_of(after), "prod")
    assert found is not None
    assert (found.kind, found.worked_on) == (command, True)
    assert f"({command}) into prod has not ended" in shown(after)
    after.clock.monotonic_s += LEASE_TTL_S + 1
    left = board(plane_of(after))[0].unfinished
    assert left is not None
    assert (left.worked_on, left.next_step) == (False, next_step)
    assert "Nobody works on it." in shown(after)
    assert left.deployment_id in shown(after)
