"""Any one process of an installation is killed while many deployments are at work: nothing is lost, and nothing is done twice.

What was done is counted at the hosts, where the deployed program writes down each of its starts. `STELLA_CHAOS_DEPLOYMENTS` says how many
deployments there are at once: a few in the suite, fifty with `make chaos`.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.settings import DATABASE_VARIABLE, Settings
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from tests.support.counting_hosts import CountingHosts
from tests.support.installation import ALICE, fast_home
from tests.support.postgres import PostgresCluster
from tests.support.running_installation import process, up
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
DEPLOYMENTS = int(os.environ.get("STELLA_CHAOS_DEPLOYMENTS", "8"))
CARRY_TIMEOUT_S = 120.0 + 6.0 * DEPLOYMENTS
OUTAGE_S = 10.0
PROCESSES = {
    "runner": r"jobs\.warm\.runner",
    "daemon": r"dagster\._daemon",
    "code server": r"dagster code-server start",
    "submitter": r"supervisor\.submitter",
    "web server": r"dagster_webserver",
}


@dataclass(frozen=True)
class Estate:
    """What a wave acts on."""

    plane: ControlPlane
    hosts: CountingHosts
    cluster: PostgresCluster
    home: Path


@pytest.fixture
def estate(cluster: PostgresCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Estate]:
    """A running installation on a PostgreSQL server of its own, which may be stopped."""
    hosts = CountingHosts(tmp_path / "estate", DEPLOYMENTS)
    url = cluster.url(cluster.create())
    with fast_home() as home:
        monkeypatch.setenv(DATABASE_VARIABLE, url)
        settings = Settings(home=home, database_url=url)
        with open_control_plane(settings) as plane:
            declared = hosts.estate()
            plane.environments.apply(ALICE, declared, source_digest=declared.content_digest())
            with up(settings):
                yield Estate(plane, hosts, cluster, home)
        hosts.stop()


def test_whatever_dies_every_deployment_is_carried_out_once(estate: Estate) -> None:
    faults: dict[str, Callable[[], None]] = {name: lambda pattern=pattern: _kill(estate.home, pattern) for name, pattern in PROCESSES.items()}
    faults["database"] = lambda: _database_away(estate.cluster)
    for number, (name, fault) in enumerate(faults.items(), start=1):
        began = time.monotonic()
        _wave(estate, f"{number}.0", fault)
        print(f"{DEPLOYMENTS} deployments while the {name} was killed: {time.monotonic() - began:.0f} s, each host touched once")
    _the_record_is_whole(estate, len(faults))


def _wave(estate: Estate, version: str, fault: Callable[[], None]) -> None:
    """One deployment into every environment at once, and the fault as soon as the first hosts have it."""
    release = estate.hosts.release(estate.plane, version)
    asked = [estate.plane.promotions.request(ALICE, environment=name, release_digest=release, reason="chaos") for name in estate.hosts.environments]
    eventually(lambda: _touched(estate.hosts, version) >= max(1, DEPLOYMENTS // 8), CARRY_TIMEOUT_S)
    touched = _touched(estate.hosts, version)
    fault()
    assert touched < DEPLOYMENTS, "everything was over before the fault"
    eventually(lambda: _all_deployed(estate.plane, asked), CARRY_TIMEOUT_S)
    assert {name: estate.hosts.starts(name)[version] for name in estate.hosts.environments} == dict.fromkeys(estate.hosts.environments, 1)


def _touched(hosts: CountingHosts, version: str) -> int:
    return sum(hosts.starts(name)[version] for name in hosts.environments)


def _all_deployed(plane: ControlPlane, asked: list[Promotion]) -> bool:
    states = Counter(plane.promotions.get(one.id).state for one in asked)
    assert set(states) <= {PromotionState.EVALUATING, PromotionState.APPROVED, PromotionState.DEPLOYING, PromotionState.WAITING, PromotionState.DEPLOYED}, (
        states
    )
    return states[PromotionState.DEPLOYED] == len(asked)


def _the_record_is_whole(estate: Estate, waves: int) -> None:
    """Per environment one sealed decision and one sealed deployment per wave, without a gap, and every packet verifies."""
    for name in estate.hosts.environments:
        with estate.plane.store.reading() as tx:
            packets = estate.plane.evidence.list(tx, environment=name, limit=1000)
        assert Counter(packet.kind for packet in packets) == {"decision": waves, "deployment": waves}, name
        assert sorted(packet.sequence for packet in packets) == list(range(1, 2 * waves + 1))
        for packet in packets:
            verify_packet(packet.envelope, [estate.plane.evidence.public_pem])
    assert estate.plane.deployments.unfinished() == []


def _kill(home: Path, pattern: str) -> None:
    os.kill(process(home, pattern), signal.SIGKILL)


def _database_away(cluster: PostgresCluster) -> None:
    cluster.crash()
    time.sleep(OUTAGE_S)
    cluster.start()
