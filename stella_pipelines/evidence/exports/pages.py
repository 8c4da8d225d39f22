"""The pages of a draft: each chunk of packets is a page, and the first one has everything else, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stella_pipelines.evidence.exports.draft import Draft
from stella_pipelines.evidence.exports.manifest import INDEX, Summary
from stella_pipelines.evidence.exports.page import Place, Row, index_page, more_page
from stella_pipelines.evidence.exports.words import line_of
from stella_pipelines.evidence.verify import VerifiedPacket

ReadPlaced = Callable[[str], Iterator[tuple[VerifiedPacket, int]]]
"""The packets of a chunk with their indexes in the log."""


def add_pages(draft: Draft, summary: Summary, read: ReadPlaced, key_ids: Sequence[str]) -> Iterator[int]:
    """Add every page; yields how many chunks were shown."""
    blobs = {name.removeprefix("blobs/sha256-") for name in draft.names("blobs", "")}
    chunks = draft.names("packets")
    for number, chunk in enumerate(chunks[1:], start=2):
        draft.add(page_name(number), lambda chunk=chunk, number=number: more_page(summary, number, _rows(chunk, read), blobs))  # type: ignore[misc]  # as above
        yield number
    pages, tables = [page_name(number) for number in range(2, len(chunks) + 1)], [*draft.names("tables", ".csv"), *draft.names("tables", ".parquet")]
    draft.add(INDEX, lambda: index_page(summary, _rows(chunks[0], read) if chunks else (), blobs, pages, tables, key_ids))


def page_name(number: int) -> str:
    """The page of a chunk."""
    return f"pages/{number:06}.html"


def _rows(chunk: str, read: ReadPlaced) -> Iterator[Row]:
    for line, (packet, index) in enumerate(read(chunk), start=1):
        yield line_of(packet), Place(chunk, line, index)
