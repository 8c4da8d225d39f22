"""Decisions by processes that are killed at random, while others take them into the log and are killed too: no gap, no duplicate, all of it proven.

1,000 decisions on SQLite and 200 on PostgreSQL; `STELLA_DECISIONS` sets another number for both (`make decisions`: 1,000 on each).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.log.verifying import Head, verify_log
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.promotions.replay import replay
from stella_pipelines.promotions.tables import evaluations
from stella_pipelines.store import blobs
from tests.support.deciding_process import ALLOWING, DENYING, gated_estate, ready_mark
from tests.support.installation import ALICE, add_release, fast_home

pytestmark = pytest.mark.slow
DECISIONS = {"sqlite": 1_000, "postgresql": 200}
LIFE_S = (0.05, 4.0)
"""Of a process, once it has begun: the shortest and the longest."""
WAITED_S_MAX = 120.0
A_DECISION_S_MAX = 0.5


@pytest.fixture
def home() -> Iterator[Path]:
    with fast_home() as home:
        yield home


def decided(plane: ControlPlane) -> int:
    with plane.store.reading() as tx:
        return tx.connection.execute(sa.select(sa.func.count()).where(evidence_packets.c.kind == "decision")).scalar() or 0


class Life:
    """One process in its role, and how long it lives once it has begun."""

    def __init__(self, home: Path, url: str, role: str, lives_s: float) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "tests.support.deciding_process", str(home), url, role])
        self._mark = ready_mark(home, self._process.pid)
        self._lives_s = lives_s
        self._until: float | None = None

    def is_over(self) -> bool:
        assert self._process.poll() is None, "a process ended by itself"
        if self._until is None and self._mark.exists():
            self._until = time.monotonic() + self._lives_s
        return self._until is not None and time.monotonic() > self._until

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def wanted(url: str) -> int:
    """How many decisions."""
    return int(os.environ.get("STELLA_DECISIONS", DECISIONS[url.partition(":")[0].partition("+")[0]]))


def run_with_kills(plane: ControlPlane, home: Path, url: str, dice: random.Random) -> int:
    """Keep the processes going, and kill them at random, until there are enough decisions; how many were killed."""
    roles = [ALLOWING, DENYING, "--log"]
    lives = {role: Life(home, url, role, dice.uniform(*LIFE_S)) for role in roles}
    decisions = wanted(url)
    kills, deadline = 0, time.monotonic() + WAITED_S_MAX + decisions * A_DECISION_S_MAX
    try:
        while decided(plane) < decisions:
            assert time.monotonic() < deadline, f"only {decided(plane)} decisions"
            time.sleep(0.05)
            for role in [role for role, life in lives.items() if life.is_over()]:
                lives[role].end()
                lives[role] = Life(home, url, role, dice.uniform(*LIFE_S))
                kills += 1
    finally:
        for life in lives.values():
            life.end()
    return kills


def test_decisions_survive_random_kills(home: Path, database_url: str) -> None:
    home.mkdir(parents=True)
    with open_control_plane(Settings(home=home, database_url=database_url)) as plane:
        estate = gated_estate()
        plane.environments.apply(ALICE, estate, source_digest=estate.content_digest())
        add_release(plane)
        kills = run_with_kills(plane, home, database_url, random.Random(4))
        assert kills >= 3
        check(plane, wanted(database_url))


def check(plane: ControlPlane, decisions: int) -> None:
    """What an auditor asks."""
    with plane.log.reading() as (tx, newest):
        report = verify_log(tx, plane.evidence.keys(tx), Head(size=newest.size, root=newest.root))
        assert report.problems == ()
        count = 0
        for name in (ALLOWING, DENYING):
            packets = plane.evidence.after(tx, environment_stream(name), 0, 10**6)
            assert [packet.sequence for packet in packets] == list(range(1, len(packets) + 1)), "no gap"
            assert report.streams[environment_stream(name)] == len(packets), "all of them stand in the log"
            assert [packet.id for packet in packets if not replay(packet, lambda digest: blobs.get(tx, digest)).byte_equal] == []
            count += len(packets)
        assert count >= decisions
        outcomes = Counter(tx.connection.execute(sa.select(evaluations.c.outcome)).scalars())
        assert outcomes["allow"] + outcomes["deny"] == count, "one packet for each decision, and one decision for each packet"
        assert min(outcomes["allow"], outcomes["deny"]) > count // 10
