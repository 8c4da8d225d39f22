"""Reading a packet's predicate, and the blobs that it refers to, member by member. Pure but for the given `read_blob`.

A packet may be of an older or newer form, or of another installation: what is not there, or is of another type than it should be, is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from stella_pipelines.core.clock import parse_instant
from stella_pipelines.core.digest import Digest, InvalidDigest
from stella_pipelines.evidence.frames.errors import FactsDamaged, FactsMissing, PacketUnverified
from stella_pipelines.evidence.statement import Kind
from stella_pipelines.evidence.verify import VerifiedPacket

ReadBlob = Callable[[Digest], bytes]
"""The bytes behind a digest that a packet names; raises a `StellaError` when it does not have them."""
Document = Mapping[str, Any]
_YEARS: Final = range(1678, 2262)
"""What a time of 64 bits in nanoseconds can say."""
_COUNT_MAX: Final = 2**63 - 1


def packets_of(source: Iterable[VerifiedPacket]) -> Iterator[VerifiedPacket]:
    """Every packet once, in the order of the source; `PacketUnverified` for anything else."""
    seen: set[str] = set()
    for packet in source:
        if not isinstance(packet, VerifiedPacket):
            raise PacketUnverified(
                f"A frame is made of verified packets, and this is a {type(packet).__name__}.",
                next_step="Read packets with 'stored(…)', or verify each with 'verify_packet'.",
            )
        if packet.packet_digest not in seen:
            seen.add(packet.packet_digest)
            yield packet


def of_kinds(source: Iterable[VerifiedPacket], *kinds: Kind) -> Iterator[VerifiedPacket]:
    """The packets of these kinds."""
    return (packet for packet in packets_of(source) if packet.kind in kinds)


def inside(document: object, *path: str) -> Document:
    """The object at this path; an empty one when there is none."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def text(document: Document, name: str) -> str | None:
    """A text."""
    value = document.get(name)
    return value if isinstance(value, str) else None


def count(document: Document, name: str) -> int | None:
    """A whole number of 64 bits."""
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _COUNT_MAX else None


def flag(document: Document, name: str) -> bool | None:
    """A truth value."""
    value = document.get(name)
    return value if isinstance(value, bool) else None


def digest(document: Document, name: str) -> Digest | None:
    """A digest."""
    try:
        return Digest(text(document, name) or "")
    except InvalidDigest:
        return None


def time(document: Document, name: str) -> datetime | None:
    """A time, if it is one that a frame can hold."""
    try:
        moment = parse_instant(text(document, name) or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.year in _YEARS else None


def texts(document: Document, name: str) -> tuple[str, ...]:
    """A list of texts."""
    value = document.get(name)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def documents(document: Document, name: str) -> tuple[Document, ...]:
    """A list of objects."""
    return objects_in(document.get(name))


def objects_in(value: object) -> tuple[Document, ...]:
    """The objects of a list."""
    return tuple(one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else ()


def blob(read_blob: ReadBlob | None, wanted: Digest, why: str) -> Any:
    """The JSON document behind a digest, proven to be it. `why` says what it is needed for."""
    if read_blob is None:
        raise FactsMissing(f"{why} stands in the blob {wanted}, and there is nothing to read blobs with.", next_step="Give 'read_blob' too.")
    content = read_blob(wanted)
    if not wanted.matches(content):
        raise FactsDamaged(f"{why}: the blob {wanted} has other bytes than its digest says.", next_step="Get the blobs from a source that is whole.")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FactsDamaged(f"{why}: the blob {wanted} is not JSON.", next_step="Use the version of Stella that wrote it.") from error
