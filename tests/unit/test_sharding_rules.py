"""Who is split into shards, into which, and what a broker's address may be."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stella_pipelines.core.settings import InvalidSetting
from stella_pipelines.deployments.limits import SHARDS_MAX
from stella_pipelines.deployments.shards import Shard, shards_for
from stella_pipelines.environments.model import Environment, Estate, ProcessAccess, Target
from stella_pipelines.jobs.catalogue import all_jobs, all_resources
from stella_pipelines.jobs.shards.sharding import BROKER_VARIABLE, broker, wanted_shards


def estate(targets: int, targets_per_shard: int | None) -> Estate:
    return Estate(
        environments=(Environment(name="prod", gates="none", targets_per_shard=targets_per_shard),),
        targets=tuple(
            Target(name=f"host-{number:04}", environment="prod", kind="process", process=ProcessAccess(directory=f"/hosts/{number}"))
            for number in range(targets)
        ),
    )


@pytest.mark.parametrize(("targets", "each", "count"), [(5_000, 500, 10), (5_001, 500, 11), (1, 500, 1), (0, 5, 1), (10_000, 1, SHARDS_MAX)])
def test_there_are_as_many_shards_as_are_needed(targets: int, each: int, count: int) -> None:
    shards = shards_for(targets, each)
    assert [(shard.number, shard.count) for shard in shards] == [(number, count) for number in range(1, count + 1)]


def test_every_target_is_in_one_shard_and_neighbours_are_in_different_ones() -> None:
    names = [f"host-{number:02}" for number in range(11)]
    found = [shard.of(names) for shard in shards_for(len(names), 4)]
    assert frozenset().union(*found) == set(names)
    assert sum(len(part) for part in found) == len(names)
    assert all(len(part.intersection(names[:3])) == 1 for part in found)


def test_a_shard_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Shard(number=0, count=3)


def test_only_an_environment_that_wants_shards_and_has_enough_targets_gets_them() -> None:
    assert len(wanted_shards(estate(24, 6), "prod")) == 4
    assert wanted_shards(estate(24, None), "prod") == ()
    assert wanted_shards(estate(24, 24), "prod") == ()
    assert wanted_shards(estate(24, 6), "unknown") == ()


def test_a_broker_keeps_its_results_where_it_can() -> None:
    assert broker({}) is None
    redis = broker({BROKER_VARIABLE: "redis://queue.example:6379/0"})
    assert redis is not None
    assert redis.results == redis.url
    rabbit = broker({BROKER_VARIABLE: "amqp://queue.example"})
    assert rabbit is not None
    assert rabbit.results == "rpc://"


def test_an_address_that_is_no_broker_is_refused_without_being_shown() -> None:
    with pytest.raises(InvalidSetting, match="redis://") as caught:
        broker({BROKER_VARIABLE: "https://user:secret@queue.example"})
    assert "secret" not in str(caught.value)


def test_without_a_broker_there_is_no_sharded_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BROKER_VARIABLE, raising=False)
    assert "sharded_deployment" not in [job.name for job in all_jobs()]
    assert "step_names" not in all_resources()


def test_with_a_broker_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BROKER_VARIABLE, "redis://localhost:6379/0")
    (job,) = [job for job in all_jobs() if job.name == "sharded_deployment"]
    assert {node.name for node in job.nodes} == {"open_deployment", "roll_out_shard", "close_deployment"}
    assert job.executor_def.name == "celery_workers"


def test_without_a_broker_celery_is_not_imported() -> None:
    code = "import sys; from stella_pipelines.definitions import definitions; from assets.catalogue import Catalogue; definitions(Catalogue()); "
    environ = {name: value for name, value in os.environ.items() if name != BROKER_VARIABLE}
    found = subprocess.check_output([sys.executable, "-c", code + "print([name for name in sys.modules if 'celery' in name])"], env=environ, text=True)
    assert found.strip() == "[]"
