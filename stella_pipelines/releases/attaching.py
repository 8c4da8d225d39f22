"""Attaching sealed packets to a release, or to an image of it, in the registry where it is.

A packet is verified before it leaves, and only attached to what it names. The audit trail has the intent before the first byte is sent, and the
outcome after the last: whoever finds the first without the second knows that a process died between them. Repeating the command goes on from there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.values import Value
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.evidence.tables import evidence_packets, evidence_subjects
from stella_pipelines.evidence.verify import VerifiedPacket
from stella_pipelines.integrations.registries.artifact import EMPTY_CONFIG, Layer, referrer_of
from stella_pipelines.integrations.registries.port import ImageNotFound, Manifest, Referrer, RegistryPort
from stella_pipelines.integrations.registries.referring import Patience, ReferrersContended, enter, push_artifact, referrers_of
from stella_pipelines.releases.errors import AttachRefused
from stella_pipelines.releases.packet_artifact import packet_manifest
from stella_pipelines.releases.packet_forms import bundle_layer, envelope_layer
from stella_pipelines.store import leases
from stella_pipelines.store.database import Store, Transaction

PACKETS_MAX: Final = 2_000
"""Packets that one call attaches; a list behind a tag has room for some 6,000."""
LEASE_TTL_S: Final = 60.0
LEASE_TRIES_MAX: Final = 150
"""Looks at a lease that somebody else holds, 0.2 s apart."""
LEASE_PAUSE_S: Final = 0.2


class Place(Value):
    """A manifest in a registry, to which packets are attached. `label` is what the audit trail calls it, such as `release/shop-1.0.0`."""

    label: str
    host: str
    path: str
    digest: Digest

    @property
    def location(self) -> str:
        """`host/path@sha256:…`."""
        return self.with_digest(self.digest)

    def with_digest(self, digest: Digest) -> str:
        """Something else in the same repository."""
        return f"{self.host}/{self.path}@{digest}"


class Attachment(Value):
    """A packet at its place. `new` is false when it was attached already, and nothing was done."""

    packet_id: str
    packet: Digest
    artifact: Digest
    location: str
    new: bool


class _Planned(Value):
    """An attachment that may have to be made, without the packet's bytes: many packets are large together."""

    packet_id: str
    packet: Digest
    manifest: bytes
    referrer: Referrer


def packets_about(tx: Transaction, subject: Digest) -> list[str]:
    """The ids of the packets about a release or image, in the order in which they were sealed; refused when they are too many for one call."""
    about = evidence_packets.c.id.in_(sa.select(evidence_subjects.c.packet_id).where(evidence_subjects.c.digest == subject))
    order = (evidence_packets.c.sealed_at, evidence_packets.c.stream, evidence_packets.c.sequence)
    found = list(tx.connection.execute(sa.select(evidence_packets.c.id).where(about).order_by(*order).limit(PACKETS_MAX + 1)).scalars())
    if len(found) > PACKETS_MAX:
        raise AttachRefused(f"More than {PACKETS_MAX} packets are about {subject}.", next_step="Name those that are to be attached by their ids.")
    return found


class Attaching:
    """Attaches packets of this installation."""

    def __init__(
        self, store: Store, evidence: Evidence, clock: Clock, identifiers: Identifiers, *, patience: Patience | None = None, as_bundles: bool = True
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._clock = clock
        self._identifiers = identifiers
        self._patience = patience or Patience()
        self._layer_of = bundle_layer if as_bundles else envelope_layer

    def attach(self, actor: Actor, registry: RegistryPort, place: Place, packet_ids: Sequence[str]) -> list[Attachment]:
        """Attach these packets, those that are not there yet. A packet that is not about the place refuses the call before anything is sent."""
        if len(packet_ids) > PACKETS_MAX:
            raise AttachRefused(f"{len(packet_ids)} packets were given.", next_step=f"Attach at most {PACKETS_MAX} at once.")
        subject = _subject(registry, place)
        planned = [self._planned(packet_id, subject) for packet_id in dict.fromkeys(packet_ids)]
        present = {referrer.digest for referrer in referrers_of(registry, place.path, place.digest)}
        missing = [one for one in planned if one.referrer.digest not in present]
        if missing:
            self._audited(actor, registry, place, missing)
        return [_attachment(place, one, new=one in missing) for one in planned]

    def _planned(self, packet_id: str, subject: Manifest) -> _Planned:
        packet, layer = self._packet(packet_id)
        manifest = packet_manifest(layer, packet, subject)
        return _Planned(packet_id=packet_id, packet=packet.packet_digest, manifest=manifest, referrer=referrer_of(manifest))

    def _packet(self, packet_id: str) -> tuple[VerifiedPacket, Layer]:
        with self._store.reading() as tx:
            sealed, verified = read_verified(self._evidence, tx, packet_id)
        return verified, self._layer_of(sealed.envelope, verified)

    def _audited(self, actor: Actor, registry: RegistryPort, place: Place, missing: Sequence[_Planned]) -> None:
        self._note(actor, place, "release.attach", reason=f"{len(missing)} packet(s)")
        try:
            self._push(registry, place, missing)
        except StellaError as error:
            self._note(actor, place, "release.attach_failed", reason=error.code)
            raise
        with self._store.writing() as tx:
            for one in missing:
                location = place.with_digest(one.referrer.digest)
                self._record(tx, actor, place, "release.attached", location, after=one.referrer.digest, reason=one.packet_id)

    def _push(self, registry: RegistryPort, place: Place, missing: Sequence[_Planned]) -> None:
        """Blobs before manifests before the list, so that the list never names what is not there."""
        registry.push_blob(place.path, EMPTY_CONFIG)
        unlisted: list[Referrer] = []
        for one in missing:
            registry.push_blob(place.path, self._packet(one.packet_id)[1].content)
            if not push_artifact(registry, place.path, one.manifest, place.digest):
                unlisted.append(one.referrer)
        if unlisted:
            with self._alone(place):
                enter(registry, place.path, place.digest, unlisted, self._patience)

    @contextlib.contextmanager
    def _alone(self, place: Place) -> Iterator[None]:
        """One writer of a list at a time in this installation. Writers elsewhere are what `enter` looks twice for."""
        lease = self._lease(f"referrers/{place.location}")
        try:
            yield
        finally:
            with self._store.writing() as tx:
                leases.release(tx, lease)

    def _lease(self, name: str) -> leases.Lease:
        holder = self._identifiers.new("hld", self._clock.now())
        for _ in range(LEASE_TRIES_MAX):
            with contextlib.suppress(leases.LeaseHeld), self._store.writing() as tx:
                return leases.acquire(tx, name, holder, self._clock.now(), LEASE_TTL_S)
            self._patience.sleep(LEASE_PAUSE_S)
        raise ReferrersContended(
            f"{name} is held by another process of this installation.",
            unchanged="The artifacts are stored, and not all of them are listed.",
            next_step="Repeat the command: it goes on where it stopped.",
        )

    def _note(self, actor: Actor, place: Place, action: str, *, reason: str) -> None:
        with self._store.writing() as tx:
            self._record(tx, actor, place, action, place.location, reason=reason)

    def _record(self, tx: Transaction, actor: Actor, place: Place, action: str, location: str, *, reason: str, after: Digest | None = None) -> None:
        """The subject is not the release itself: nothing of it changes, and entries of that subject have the digests of its row."""
        now = self._clock.now()
        entry_id, subject = self._identifiers.new("aud", now), f"{place.label}/attachment/{location}"
        audit.record(tx, entry_id=entry_id, at=now, actor=actor, action=action, subject=subject, after=after, reason=reason)


def _subject(registry: RegistryPort, place: Place) -> Manifest:
    """What is attached to must be there first: an artifact about nothing is found by nobody."""
    try:
        return registry.manifest(place.path, place.digest)
    except ImageNotFound as error:
        raise AttachRefused(
            f"{place.location} is not there, so nothing can be attached to it.", next_step="Push it there first: stella release push RELEASE HOST/PATH."
        ) from error


def _attachment(place: Place, planned: _Planned, *, new: bool) -> Attachment:
    digest = planned.referrer.digest
    return Attachment(packet_id=planned.packet_id, packet=planned.packet, artifact=digest, location=place.with_digest(digest), new=new)
