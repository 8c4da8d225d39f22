"""What this room asks of the rooms beside and below it, as narrow as it uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Estate
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Kind, Subject
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.store.database import Transaction


class CurrentEstate(Protocol):
    """Where the declared estate is read."""

    def current(self, tx: Transaction | None = None) -> tuple[Estate, int]:
        """The estate and its revision."""
        ...


class AttachedReport(Protocol):
    """A report as the releases room lists it."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def blob(self) -> Digest: ...
    @property
    def given_at(self) -> Instant: ...


class KnownReleases(Protocol):
    """Where releases and their reports are read."""

    def by_digest(self, digest: Digest) -> ReleaseRecord:
        """The release with this identity."""
        ...

    def reports(self, tx: Transaction, digest: Digest) -> Sequence[AttachedReport]:
        """The reports given to a release."""
        ...


class Sealing(Protocol):
    """Where decisions are sealed, in the transaction that makes them."""

    def seal(
        self,
        tx: Transaction,
        *,
        packet_id: str,
        kind: Kind,
        stream: str,
        subjects: Sequence[Subject],
        predicate: Mapping[str, object],
        at: datetime,
    ) -> SealedPacket:
        """Sign and store one packet."""
        ...

    def get(self, tx: Transaction, packet_id: str) -> SealedPacket:
        """A stored packet."""
        ...
