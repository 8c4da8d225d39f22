"""The list of what one batch of a purge took: a blob, named by the sealed packet of the batch. Pure."""

from __future__ import annotations

import json
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.retention.selecting import Old

LIST_TYPE: Final = "application/vnd.stella.purged.v1+json"
LIST_INPUT: Final = "purged"
"""The name that the list has among the inputs of the packet."""


class PurgedPacket(Value):
    """What stays of a packet: what its leaf says, with the leaf's index."""

    id: str
    index: Annotated[int, Field(ge=0, strict=True)]
    content: Digest
    kind: str
    stream: str
    sequence: int
    sealed_at: Instant


class PurgedBlob(Value):
    """What stays of a blob."""

    digest: Digest
    media_type: str
    bytes: int


class PurgedList(Value):
    """Everything that one batch took."""

    version: Literal[1] = 1
    packets: tuple[PurgedPacket, ...] = ()
    blobs: tuple[PurgedBlob, ...] = ()


def list_of(going: list[Old]) -> PurgedList:
    """The list of a batch of packets."""
    return PurgedList(packets=tuple(_packet(old) for old in going))


def read_list(content: bytes) -> PurgedList | None:
    """A stored list; None for what is none."""
    try:
        return PurgedList.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError):
        return None


def _packet(old: Old) -> PurgedPacket:
    assert old.leaf is not None, "only what is in the log goes"
    one = old.candidate
    return PurgedPacket(id=one.id, index=old.leaf, content=one.content, kind=one.kind, stream=one.stream, sequence=one.sequence, sealed_at=one.sealed_at)
