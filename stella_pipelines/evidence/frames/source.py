"""Where verified packets come from: here, from an installation's store. Any iterable of them will do, such as the packets of an exported file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.errors import StoredPacketDiffers
from stella_pipelines.evidence.frames.reading import ReadBlob
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.listing import newest_sequences
from stella_pipelines.evidence.service import Evidence, SealedPacket
from stella_pipelines.evidence.stored import differences, proven_index
from stella_pipelines.evidence.streams import environment_of
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store

PAGE: Final = 500
"""Packets that are in memory at once."""


class StoredPackets:
    """The packets of a store, stream by stream in the order of their sequence, each verified. It can be read again, and then has what is new."""

    def __init__(self, store: Store, evidence: Evidence, keys: KeyRing | None, environments: Collection[str] | None, page: int) -> None:
        self._store = store
        self._evidence = evidence
        self._keys = keys
        self._environments = environments
        self._page = page

    def __iter__(self) -> Iterator[VerifiedPacket]:
        with self._store.reading() as tx:
            heads = newest_sequences(tx)
            keys = self._evidence.keys(tx) if self._keys is None else self._keys
        for stream in sorted(heads):
            if self._environments is None or environment_of(stream) in self._environments:
                yield from self._stream(stream, heads[stream], keys)

    def _stream(self, stream: str, newest: int, keys: KeyRing) -> Iterator[VerifiedPacket]:
        """One stream up to the packet that was its newest one when the reading began. No transaction is open while a page is looked at."""
        sequence = 0
        while sequence < newest:
            with self._store.reading() as tx:
                page = self._evidence.after(tx, stream, sequence, min(self._page, newest - sequence))
                proven = {packet.id: proven_index(tx, packet.id, keys) for packet in page if packet.key_id in keys.revoked}
            for packet in page:
                if packet.sequence <= newest:  # while a page was looked at, others go on sealing
                    yield _verified(packet, keys, proven.get(packet.id))
            sequence = page[-1].sequence if page else newest


def stored(
    store: Store, evidence: Evidence, keys: KeyRing | Sequence[bytes] | None = None, *, environments: Collection[str] | None = None, page: int = PAGE
) -> StoredPackets:
    """The packets of a store, or those about some environments. `keys`: whose signatures count; by default, this installation's own, past ones too."""
    ring = keys if keys is None or isinstance(keys, KeyRing) else KeyRing.of(keys)
    return StoredPackets(store, evidence, ring, environments, page)


def stored_blobs(store: Store) -> ReadBlob:
    """What packets refer to, from the same store."""

    def read(digest: Digest) -> bytes:
        with store.reading() as tx:
            return blobs.get(tx, digest)

    return read


def _verified(packet: SealedPacket, keys: KeyRing, log_index: int | None) -> VerifiedPacket:
    """The packet, if its signature is valid and it stands where it was sealed. Its rows for searching are not used here, and not compared.

    `log_index`: where the log proves it to stand, which is only asked for a packet by a revoked key.
    """
    verified = verify_packet(packet.envelope, keys, log_index=log_index)
    differing = differences(packet, [(one.name, str(one.digest)) for one in verified.statement.subject], verified)
    if differing:
        raise StoredPacketDiffers(
            f"The database's row of packet {packet.id[:80]!r} says something else than the sealed packet: {'; '.join(differing)}.",
            next_step="Trust the sealed packet and not the row; restore the database from a backup, and find out who changed it.",
        )
    return verified
