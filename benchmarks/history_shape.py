"""The installation whose history is written: how many products, environments, targets and releases, and which promotion went where. Pure.

Ten products, each with five environments one behind the other. Most promotions go into small environments and few into large ones, as in life:
`dev` with one target gets half of them, `prod` with nine tenths of the targets one in a hundred.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, Literal

from stella_pipelines.core.identifiers import ENTROPY_BYTES, identifier
from stella_pipelines.environments.model import Component, Environment, Estate, FreezeGateConfig, Gate, HealthCheck, ProcessAccess, Target

STAGES: Final = ("dev", "test", "stage", "canary", "prod")
STAGE_PERCENT: Final = (50, 30, 15, 4, 1)
COMPONENTS: Final = ("web", "api")
LENGTH: Final = timedelta(days=730)
State = Literal["deployed", "failed", "rejected", "cancelled", "waiting"]


@dataclass(frozen=True)
class Size:
    """How much history. Targets are by stage, for one product."""

    products: int = 10
    releases: int = 10_000
    promotions: int = 100_000
    targets: tuple[int, int, int, int, int] = (1, 2, 7, 40, 450)
    seed: int = 1
    ends_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    """When the last promotion was asked for. What waits expires two weeks later, so whoever looks at it on the real clock sets this to now."""

    @property
    def beginning(self) -> datetime:
        """When the first release was made."""
        return self.ends_at - LENGTH


@dataclass(frozen=True)
class Move:
    """One promotion as it went: the number of the release among its product's, where to, when, and how it ended."""

    number: int
    product: int
    stage: int
    release: int
    at: datetime
    state: State

    @property
    def environment(self) -> str:
        return environment_name(self.product, self.stage)


def product_name(product: int) -> str:
    return f"shop{product}"


def environment_name(product: int, stage: int) -> str:
    return f"{product_name(product)}_{STAGES[stage]}"


def entropy(*parts: object) -> bytes:
    """Bytes that are the same in every run."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:ENTROPY_BYTES]


def new_id(prefix: str, at: datetime, *parts: object) -> str:
    """An identifier that is the same in every run."""
    return identifier(prefix, at, entropy(prefix, *parts))


@dataclass(frozen=True)
class Shape:
    """A size, laid out."""

    size: Size

    @cached_property
    def environments(self) -> list[str]:
        return [environment_name(product, stage) for product in range(self.size.products) for stage in range(len(STAGES))]

    def targets(self, product: int, stage: int) -> list[str]:
        """The names of an environment's targets."""
        return [f"{product_name(product)}-{STAGES[stage]}-{number}" for number in range(1, self.size.targets[stage] + 1)]

    def estate(self) -> Estate:
        """The declared estate, without anything that would make a look reach out of this machine."""
        health = HealthCheck(kind="container", timeout_s=5.0, interval_s=0.5)
        products = range(self.size.products)
        parts = [f"{product_name(product)}_{component}" for product in products for component in COMPONENTS]
        return Estate(
            components=tuple(Component(name=name, repository=f"registry.invalid/{name}", health=health) for name in parts),
            environments=tuple(self._environment(product, stage) for product in products for stage in range(len(STAGES))),
            targets=tuple(
                Target(name=name, environment=environment_name(product, stage), kind="process", process=ProcessAccess(directory=f"/nowhere/{name}"))
                for product in products
                for stage in range(len(STAGES))
                for name in self.targets(product, stage)
            ),
        )

    @staticmethod
    def _environment(product: int, stage: int) -> Environment:
        return Environment(
            name=environment_name(product, stage),
            promotes_from=(environment_name(product, stage - 1),) if stage else (),
            gates=(Gate(name="calendar", config=FreezeGateConfig()),),
            is_production=STAGES[stage] == "prod",
        )

    def released_at(self, number: int) -> datetime:
        """When the release with this number of each product was made."""
        return self.size.beginning + LENGTH * number / self._releases_of_a_product

    def _asked_at(self, number: int) -> datetime:
        return self.size.ends_at - LENGTH * (self.size.promotions - 1 - number) / self.size.promotions

    @property
    def _releases_of_a_product(self) -> int:
        return self.size.releases // self.size.products

    def moves(self) -> Iterator[Move]:
        """Every promotion in the order of time; at the end one that still waits in every third environment."""
        dice = random.Random(self.size.seed)
        stages = [stage for stage, percent in enumerate(STAGE_PERCENT) for _ in range(percent)]
        waiting = self.environments[::3]
        count = self.size.promotions - len(waiting)
        for number in range(count):
            product = number % self.size.products
            release = (self._releases_of_a_product - 1) * number // count
            # The first round goes through every environment, so that each has run something.
            turn = number // self.size.products
            stage = turn if turn < len(STAGES) else dice.choice(stages)
            state: State = "deployed" if turn < len(STAGES) else dice.choices(("deployed", "failed", "rejected", "cancelled"), (93, 2, 4, 1))[0]
            yield Move(number, product, stage, release, self._asked_at(number), state)
        for number, name in enumerate(waiting, start=count):
            product, stage = divmod(self.environments.index(name), len(STAGES))
            yield Move(number, product, stage, self._releases_of_a_product - 1, self.size.ends_at - timedelta(minutes=self.size.promotions - number), "waiting")
