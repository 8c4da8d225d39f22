"""What the packet of a deployment refers to instead of repeating it: the whole ledger and the last look, as blobs with a digest each. Pure.

A packet is read as one piece and has a limit, and what 10,000 targets say has none. Each blob is a JSON list with one entry per target, in the
order of their names; what is too large for one blob becomes several, each with the next targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.model import LedgerRow, TargetObservation

LEDGER_TYPE: Final = "application/vnd.stella.ledger.v1+json"
DRIFT_TYPE: Final = "application/vnd.stella.drift.v1+json"
OBSERVATION_TYPE: Final = "application/vnd.stella.observation.v1+json"
PART_BYTES_MAX: Final = 32 * 1024 * 1024
"""Up to this size targets are put into one blob. The store takes twice as much, so a single target that says more still has its place."""


@dataclass(frozen=True)
class Enclosure:
    """One blob, under the name that it has among the packet's inputs."""

    name: str
    media_type: str
    content: bytes
    digest: Digest


def enclosures(rows: Iterable[LedgerRow], seen: Iterable[TargetObservation]) -> list[Enclosure]:
    """The ledger and the observation in full; the blobs are stored in the transaction that seals the packet."""
    looks = sorted(seen, key=lambda target: target.target)
    return [*enclosed("ledger", LEDGER_TYPE, rows), *enclosed("observation", OBSERVATION_TYPE, looks)]


def enclosed(name: str, media_type: str, values: Iterable[Value]) -> Iterator[Enclosure]:
    """`ledger` when it is one blob, else `ledger/1`, `ledger/2`, …"""
    parts = list(_parts(value.canonical() for value in values))
    for number, content in enumerate(parts, start=1):
        yield Enclosure(name if len(parts) == 1 else f"{name}/{number}", media_type, content, Digest.of(content))


def _parts(entries: Iterable[bytes]) -> Iterator[bytes]:
    """Canonical JSON lists of the entries, each as large as it may be; one empty list when there are none."""
    part: list[bytes] = []
    part_bytes = 0
    for entry in entries:
        if part and part_bytes + len(entry) > PART_BYTES_MAX:
            yield _list_of(part)
            part, part_bytes = [], 0
        part.append(entry)
        part_bytes += len(entry) + 1
    yield _list_of(part)


def _list_of(entries: list[bytes]) -> bytes:
    return b"[" + b",".join(entries) + b"]"
