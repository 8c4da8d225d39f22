"""A sharded deployment for real: `stella up`, Redis, two Celery workers, two dozen targets, and one worker killed in the middle."""

from __future__ import annotations

import inspect
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import _submit_task

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import ImageReference
from stella_pipelines.core.settings import Settings
from stella_pipelines.deployments.engine import rollout_of
from stella_pipelines.deployments.model import DeploymentRecord
from stella_pipelines.deployments.rollout import decide, in_flight
from stella_pipelines.environments.model import Component, Environment, Estate, HealthCheck, Port, ProcessAccess, Registry, Rolling, Target
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.jobs.shards.celery_settings import celery_app
from stella_pipelines.jobs.shards.sharding import BROKER_VARIABLE, Broker
from stella_pipelines.lab.images import File, MultiArchImage, make_image, push
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.store import outbox
from tests.support.celery_workers import celery_workers
from tests.support.installation import ALICE, fast_home
from tests.support.redis import redis_server
from tests.support.running_installation import up
from tests.support.waiting import eventually

TARGETS, SHARDS, BATCH = 24, 4, 4
HOST, PATH = "registry.lab", "count/web"
PROGRAM = b"""#!/bin/sh
echo started >> "$COUNTS/$HOST"
exec sleep 100000
"""


class Fleet:
    """One environment of process targets whose only program counts its own starts, by the target's address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts = folder / "counts"
        self.counts.mkdir(parents=True)
        self.addresses = [f"127.0.7.{number}" for number in range(1, TARGETS + 1)]

    def estate(self) -> Estate:
        prod = Environment(
            name="prod",
            gates="none",
            strategy=Rolling(batch=BATCH),
            targets_per_shard=TARGETS // SHARDS,
            variables={"COUNTS": str(self.counts)},
        )
        return Estate(
            registries=(Registry(host=HOST, kind="layout", path=str(self.folder / "images")),),
            components=(Component(name="web", repository=f"{HOST}/{PATH}", ports=(Port(container=8080, host=18080),), health=HealthCheck(kind="none")),),
            environments=(prod,),
            targets=tuple(self._target(number, address) for number, address in enumerate(self.addresses, 1)),
        )

    def _target(self, number: int, address: str) -> Target:
        folder = self.folder / "hosts" / f"host-{number:02}"
        folder.mkdir(parents=True)
        return Target(name=folder.name, environment="prod", kind="process", address=address, process=ProcessAccess(directory=str(folder)))

    def release(self, plane: ControlPlane) -> Digest:
        images = tuple(
            make_image(platform, [[File("app/count", PROGRAM, 0o755)]], {"Entrypoint": ["/app/count"]}) for platform in ("linux/amd64", "linux/arm64")
        )
        push(LayoutRegistry(self.folder / "images"), PATH, "1", MultiArchImage(images))
        reference = ImageReference(host=HOST, path=PATH, tag="1")
        made = plane.releases.create(ALICE, name="count", version="1", images={"web": reference}, registries=plane.registry, finalize=True)
        assert made.digest is not None
        return made.digest

    def starts(self) -> Counter[str]:
        """By address: how often the program was started there."""
        return Counter({path.name: len(path.read_text().split()) for path in self.counts.iterdir()})

    def stop(self) -> None:
        mark = str(self.counts).encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue  # it ended while we looked


@contextmanager
def fleet_in(folder: Path) -> Iterator[Fleet]:
    fleet = Fleet(folder)
    try:
        yield fleet
    finally:
        fleet.stop()


def check_limits(plane: ControlPlane, record: DeploymentRecord) -> None:
    """Every state that the journal tells: never more targets unavailable than the batch."""
    artifacts = plane.deployments.artifacts(record.id)
    assert artifacts is not None
    rollout, most = rollout_of(artifacts), 0
    for row in plane.deployments.journal(record.id):
        rollout = decide(rollout, row.event(), row.elapsed_s)
        most = max(most, len(in_flight(rollout)))
    assert most == BATCH


def test_what_is_used_of_dagster_celery_is_there() -> None:
    """These two are not public: an upgrade that changes them is noticed here."""
    assert list(inspect.signature(_submit_task).parameters) == ["app", "plan_context", "step", "queue", "priority", "known_state"]
    assert list(inspect.signature(core_celery_execution_loop).parameters) == ["job_context", "execution_plan", "step_execution_fn"]
    app = celery_app(Broker(url="redis://nowhere:6379/0", results="redis://nowhere:6379/0"))
    assert app.conf.broker_url == "redis://nowhere:6379/0"
    assert app.conf.task_acks_late is False, "no broker delivers a step a second time because it takes long"
    assert app.conf.worker_prefetch_multiplier == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc for what is left; run it on Linux")
def test_a_deployment_in_shards_survives_the_death_of_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_server() as broker, fast_home() as home, fleet_in(tmp_path / "fleet") as fleet:
        monkeypatch.setenv(BROKER_VARIABLE, broker)
        settings = Settings(home=home, database_url=f"sqlite:///{home / 'stella.db'}")
        with open_control_plane(settings) as plane, celery_workers(2, settings, broker, tmp_path) as workers, up(settings):
            estate = fleet.estate()
            plane.environments.apply(ALICE, estate, source_digest=estate.content_digest())
            asked = plane.promotions.request(ALICE, environment="prod", release_digest=fleet.release(plane), reason="test")
            eventually(lambda: all(worker.is_ready() for worker in workers), 60.0)
            record = eventually(lambda: next(iter(plane.deployments.list("prod", 1)), None), 60.0)
            eventually(lambda: activated(plane, record) >= 8, 60.0)
            workers[0].kill()
            eventually(workers[0].is_gone, 5.0)
            assert activated(plane, record) < TARGETS, "it was killed in the middle"
            eventually(lambda: plane.promotions.get(asked.id).state is PromotionState.DEPLOYED, 90.0)
            for worker in workers:
                worker.stop()

        rows = plane.deployments.journal(record.id)
        check_limits(plane, record)
        assert fleet.starts() == Counter(dict.fromkeys(fleet.addresses, 1)), "every target once, also those of the killed worker"
        assert len({(row.target, row.fence) for row in rows if row.target}) > TARGETS, "targets of the killed worker went to another one"
        with plane.store.reading() as tx:
            newest = outbox.latest(tx, "deployment", asked.id)
        assert newest is not None
        assert newest.attempt == 1, "the run itself came to its end"


def activated(plane: ControlPlane, record: DeploymentRecord) -> int:
    return sum(row.step == "activate" and row.phase == "outcome" for row in plane.deployments.journal(record.id))
