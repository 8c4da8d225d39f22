"""The tables for analysts: what the export's packets say, as CSV and Parquet, in parts of bounded size."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from stella_pipelines.evidence.exports.draft import Draft
from stella_pipelines.evidence.verify import VerifiedPacket

if TYPE_CHECKING:
    import pandas as pd

CHUNKS_A_PART: Final = 20
"""One part of a table is about at most 20,000 packets."""
FORMATS: Final = ("csv", "parquet")


class _Gathering(Protocol):
    def take(self, packet: VerifiedPacket) -> None: ...

    def frame(self) -> pd.DataFrame: ...


def add_tables(draft: Draft, read: Callable[[str], Iterable[VerifiedPacket]]) -> Iterator[int]:
    """Add every table's parts; yields how many chunks were read. `read` gives the packets of a chunk."""
    formats, chunks = draft.beginning.tables, draft.names("packets")
    if not formats:
        return
    for part, start in enumerate(range(0, max(len(chunks), 1), CHUNKS_A_PART), start=1):
        mine = chunks[start : start + CHUNKS_A_PART]
        if not _is_done(draft, part, formats):
            for name, made in _frames(mine, read).items():
                for ending in formats:
                    draft.add(f"tables/{name}/{part:06}.{ending}", lambda frame=made, ending=ending: _written(frame, ending))  # type: ignore[misc]  # as above
        yield start + len(mine)


def _is_done(draft: Draft, part: int, formats: Sequence[str]) -> bool:
    return all(f"tables/{name}/{part:06}.{ending}" in draft.entries for name in ("decisions", "gates", "deployments") for ending in formats)


def _frames(chunks: Sequence[str], read: Callable[[str], Iterable[VerifiedPacket]]) -> dict[str, pd.DataFrame]:
    from stella_pipelines.evidence.frames.decisions import Decisions, Gates  # pandas, which takes half a second to load, and only here is needed
    from stella_pipelines.evidence.frames.deployments import Deployments

    gathering: dict[str, _Gathering] = {"decisions": Decisions(), "gates": Gates(), "deployments": Deployments()}
    for chunk in chunks:
        for packet in read(chunk):
            for one in gathering.values():
                one.take(packet)
    return {name: one.frame() for name, one in gathering.items()}


def _written(frame: pd.DataFrame, ending: str) -> bytes:
    from stella_pipelines.evidence.frames.writing import write_csv, write_parquet

    if ending == "parquet":
        binary = io.BytesIO()
        write_parquet(frame, binary)
        return binary.getvalue()
    text = io.StringIO(newline="")
    write_csv(frame, text)
    return text.getvalue().encode()
