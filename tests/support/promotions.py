"""A promotions room for tests: the real store, evidence and services around it, a clock that is set by hand, and a history that is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import identifier
from stella_pipelines.environments.model import Environment, Estate
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.promotions.service import Promotions
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent, ReleaseRecord, ReleaseSource, ReleaseState
from stella_pipelines.store import outbox
from stella_pipelines.store.database import Store, Transaction

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RITA, ANN, BOB, CYN, ZED = (Actor(name=name, via="test") for name in ("rita", "ann", "bob", "cyn", "zed"))
PLAN = {"environment": "prod", "targets": [{"target": "host_1", "platform": "linux/amd64", "components": []}]}


def digest(text: str) -> Digest:
    """A digest to tell things apart by."""
    return Digest.of(text.encode())


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self, moment: datetime = NOW) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def forward(self, seconds: float) -> None:
        """Move it; a negative number jumps back."""
        self.moment += timedelta(seconds=seconds)


class CountedIdentifiers:
    """Identifiers that are the same in every run."""

    def __init__(self) -> None:
        self._count = 0

    def new(self, prefix: str, now: datetime) -> str:
        self._count += 1
        return identifier(prefix, now, self._count.to_bytes(10, "big"))


@dataclass
class ToldHistory:
    """Answers what the test tells it."""

    proven: dict[str, ProvenDeployment] = field(default_factory=dict)

    def last_proven(self, tx: Transaction, environment: str, release_digest: Digest) -> ProvenDeployment | None:
        return self.proven.get(environment)


@dataclass
class FixedEstate:
    """The declared estate, as the test sets it."""

    estate: Estate
    revision: int = 1

    def current(self, tx: Transaction | None = None) -> tuple[Estate, int]:
        return self.estate, self.revision


@dataclass(frozen=True)
class Given:
    """A report that was given."""

    id: str
    kind: str
    blob: Digest
    given_at: datetime


@dataclass
class FixedReleases:
    """One release, and its reports."""

    record: ReleaseRecord
    given: list[Given] = field(default_factory=list)

    def by_digest(self, wanted: Digest) -> ReleaseRecord:
        return self.record

    def reports(self, tx: Transaction, wanted: Digest) -> list[Given]:
        return self.given


def shop(version: str = "2.0.0", author: str | None = None, state: ReleaseState = ReleaseState.FINALIZED) -> ReleaseRecord:
    """A finalized release with one component."""
    image = PlatformImage(platform="linux/amd64", digest=digest("web linux/amd64"), config_digest=digest("web config amd64"))
    web = ReleaseComponent(name="web", repository="registry.example.com/shop/web", digest=digest("web index"), platforms=(image,))
    release = Release(name="shop", version=version, components=(web,), source=ReleaseSource(author=author), created_at=NOW)
    return ReleaseRecord(release=release, state=state, digest=None if state is ReleaseState.DRAFT else digest(f"release {version}"))


def environment(name: str = "prod", gates: object = "none", **more: object) -> Environment:
    """An environment with the given gates."""
    return Environment.model_validate({"name": name, "gates": gates, **more})


def promotion(**changes: object) -> Promotion:
    """A promotion that was just requested."""
    about = {
        "id": "prm_1",
        "environment": "prod",
        "release_digest": digest("release 2.0.0"),
        "release_label": "shop-2.0.0",
        "requested_by": RITA,
        "requested_at": NOW,
        "reason": "new prices",
        "updated_at": NOW,
    }
    return Promotion.model_validate({**about, **changes})


@dataclass(frozen=True)
class Room:
    """The promotions room on a real store, with everything around it that a test wants to touch."""

    store: Store
    promotions: Promotions
    evidence: Evidence
    clock: SetClock
    estate: FixedEstate
    releases: FixedReleases
    history: ToldHistory

    def request(self, actor: Actor = RITA, environment: str = "prod") -> Promotion:
        """A promotion of the one release."""
        return self.promotions.request(actor, environment=environment, release_digest=digest("release 2.0.0"), reason="new prices")

    def evaluate(self, asked: Promotion, plan: Mapping[str, object] | None = PLAN, failure: Mapping[str, object] | None = None) -> Promotion:
        """The promotion run of the newest attempt, from begin to decide."""
        newest = self.promotions.get(asked.id)
        evaluation = self.promotions.begin_evaluation(asked.id, newest.attempt, plan, failure)
        for name in evaluation.gates:
            self.promotions.evaluate_gate(evaluation.id, name)
        return self.promotions.decide(evaluation.id)[0]

    def packet(self, decided: Promotion) -> SealedPacket:
        """The packet of a decision."""
        assert decided.decision_packet is not None
        with self.store.reading() as tx:
            return self.evidence.get(tx, decided.decision_packet)

    def wanted_runs(self) -> list[tuple[str, int]]:
        """Kind and attempt of every outbox row, oldest first."""
        with self.store.reading() as tx:
            return [(row.kind, row.attempt) for row in outbox.pending(tx, 100)]

    def audited(self, subject: str) -> list[tuple[str, str]]:
        """Who did what, oldest first."""
        with self.store.reading() as tx:
            return [(entry.actor.name, entry.action) for entry in reversed(audit.list_entries(tx, subject=subject))]


def make_room(store: Store, key: SigningKey, *environments: Environment, **estate: object) -> Room:
    """A room whose estate has these environments."""
    clock, told = SetClock(), ToldHistory()
    declared = FixedEstate(Estate.model_validate({"environments": [one.document() for one in environments], **estate}))
    releases, evidence = FixedReleases(shop()), Evidence(key)
    promotions = Promotions(store, evidence, declared, releases, clock, CountedIdentifiers(), told)
    return Room(store, promotions, evidence, clock, declared, releases, told)
